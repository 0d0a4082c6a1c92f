"""NumPy archives: arrays `x` and `y`, `images` and `labels`, or `x_train`, `y_train`, `x_test`, `y_test` and the like.

Arrays are read from the archive in slices and never unpickled: an array of Python objects is refused.
"""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from tasks.contracts.dataset import Split
from tasks.contracts.errors import DataError
from tasks.datasets.source import PART_NAMES, Part, Source, batch_rows, first_line, image_column

INPUTS = {"x", "image", "images", "data", "text", "texts", "features"}
ANSWERS = {"y", "label", "labels", "target", "targets"}

_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError, UnicodeDecodeError)
"""What zipfile raises for archives that are cut, damaged, encrypted, or packed in a way of others."""


class _Array(NamedTuple):
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool


class _Pair(NamedTuple):
    split: Split | None
    inputs: _Array
    answers: _Array


Kind = Literal["table", "images", "text"]


def open_npz(path: Path) -> Source:
    """The pairs of arrays in an archive.

    uint8 (N, H, W) or (N, H, W, C) are images, strings (N,) are text, numbers (N, D) are columns `x_0` to `x_{D-1}`.

    Raises:
        DataError: naming the array that is missing, of Python objects, or of another length or shape.
    """
    with _opened(path) as archive:
        arrays = [_array(path, archive, name) for name in archive.namelist() if name.endswith(".npy")]
    pairs = _pairs(path, arrays)
    kind = _kind(path, pairs)
    columns = _columns(kind, pairs[0])
    parts = (
        Part(f"{pair.inputs.key} of {path.name}", pair.split, partial(_read, path, pair, columns)) for pair in pairs
    )
    return Source(path.name, kind, columns, tuple(parts), shape=pairs[0].inputs.shape[1:] if kind == "images" else ())


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _BROKEN as error:
        raise DataError(
            f"{path.name} is no whole NPZ archive ({first_line(error)}), but must be: write or copy it again"
        ) from error


def _array(path: Path, archive: zipfile.ZipFile, name: str) -> _Array:
    key = name.removesuffix(".npy")
    with archive.open(name) as file:
        try:
            shape, fortran, dtype = _npy_header(file)
        except ValueError as error:
            raise DataError(
                f"array {key!r} of {path.name} is no NPY ({first_line(error)}), but must be: write it again"
            ) from error
        start = file.tell()
    if dtype.hasobject:
        raise DataError(
            f"array {key!r} of {path.name} holds Python objects, but must hold numbers or strings: "
            "convert it with astype before saving"
        )
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if start + size != archive.getinfo(name).file_size:
        raise DataError(f"array {key!r} of {path.name} is cut, but must be {size} bytes: write it again")
    return _Array(key, shape, dtype, fortran and len(shape) > 1)


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


def _pairs(path: Path, arrays: Sequence[_Array]) -> list[_Pair]:
    inputs, answers = _by_split(arrays, INPUTS), _by_split(arrays, ANSWERS)
    if not inputs or set(inputs) != set(answers):
        found = ", ".join(array.key for array in arrays) or "nothing"
        raise DataError(
            f"{path.name} holds {found}, but must hold x and y, images and labels, or x_train, y_train, x_test, "
            "y_test: rename the arrays"
        )
    pairs = [_Pair(split, inputs[split], answers[split]) for split in inputs]
    for pair in pairs:
        _check_pair(path, pair, pairs[0])
    return pairs


def _by_split(arrays: Sequence[_Array], roles: set[str]) -> dict[Split | None, _Array]:
    found: dict[Split | None, _Array] = {}
    for array in arrays:
        words = array.key.lower().split("_")
        splits = [PART_NAMES[word] for word in words if word in PART_NAMES]
        rest = [word for word in words if word not in PART_NAMES]
        if len(rest) == 1 and rest[0] in roles and len(splits) <= 1:
            found[splits[0] if splits else None] = array
    return found


def _check_pair(path: Path, pair: _Pair, first: _Pair) -> None:
    x, y = pair.inputs, pair.answers
    if not x.shape or not y.shape or len(x.shape) < 1 or x.shape[0] != y.shape[0]:
        raise DataError(
            f"{x.key} {x.shape} and {y.key} {y.shape} of {path.name} differ in rows, but must have the same number: "
            "save arrays that belong together"
        )
    if y.shape[1:] not in ((), (1,)) or y.dtype.kind not in "biufU":
        raise DataError(f"{y.key} of {path.name} is {y.dtype} {y.shape}, but must be one label a row: save it as (N,)")
    if x.shape[1:] != first.inputs.shape[1:] or x.dtype.kind != first.inputs.dtype.kind:
        raise DataError(
            f"{x.key} of {path.name} holds rows {x.shape[1:]} of {x.dtype}, but must hold rows like "
            f"{first.inputs.key}, {first.inputs.shape[1:]} of {first.inputs.dtype}: save them alike"
        )


def _kind(path: Path, pairs: Sequence[_Pair]) -> Kind:
    x = pairs[0].inputs
    if x.dtype.kind == "U" and len(x.shape) == 1:
        return "text"
    if x.dtype.kind in "biuf" and len(x.shape) <= 2:
        return "table"
    if x.dtype == np.uint8 and (len(x.shape) == 3 or (len(x.shape) == 4 and x.shape[3] in (1, 3, 4))):
        return "images"
    raise DataError(
        f"{x.key} of {path.name} is {x.dtype} {x.shape}, but must be uint8 images (N, H, W) or (N, H, W, C) of 1, 3 or "
        "4 channels, numbers (N, D), or strings (N,): convert or transpose it"
    )


def _columns(kind: Kind, pair: _Pair) -> pa.Schema:
    answer = _arrow_type(pair.answers.dtype)
    if kind == "table":
        x = pair.inputs
        width = x.shape[1] if len(x.shape) == 2 else 1
        return pa.schema([*((f"x_{place}", _arrow_type(x.dtype)) for place in range(width)), ("y", answer)])
    if kind == "text":
        return pa.schema([("text", pa.string()), ("label", answer)])
    return pa.schema([("image", pa.binary(int(np.prod(pair.inputs.shape[1:])))), ("label", answer)])


def _arrow_type(dtype: np.dtype) -> pa.DataType:
    if dtype.kind == "U":
        return pa.string()
    return pa.float64() if dtype.kind == "f" else pa.from_numpy_dtype(dtype.newbyteorder("="))


def _read(path: Path, pair: _Pair, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    x, y = pair.inputs, pair.answers
    step = batch_rows(x.dtype.itemsize * int(np.prod(x.shape[1:])))
    with _opened(path) as archive, archive.open(f"{x.key}.npy") as xs, archive.open(f"{y.key}.npy") as ys:
        for inputs, answers in zip(_slices(xs, x, step), _slices(ys, y, step), strict=True):
            arrays = [*_input_columns(inputs, schema), pa.array(answers.reshape(-1))]
            typed = [array.cast(field.type) for array, field in zip(arrays, schema, strict=True)]
            yield pa.record_batch(typed, schema=schema).select(columns)


def _slices(file: IO[bytes], array: _Array, step: int) -> Iterator[np.ndarray]:
    _npy_header(file)
    rows = array.shape[0]
    native = array.dtype.newbyteorder("=")
    if array.fortran:  # column by column on disk: no slice of rows lies together
        whole = np.frombuffer(file.read(), array.dtype).reshape(array.shape, order="F")
        yield from (whole[start : start + step].astype(native) for start in range(0, rows, step))
        return
    size = array.dtype.itemsize * int(np.prod(array.shape[1:]))
    for start in range(0, rows, step):
        count = min(step, rows - start)
        values = np.frombuffer(file.read(count * size), array.dtype)
        yield values.reshape(count, *array.shape[1:]).astype(native, copy=False)


def _input_columns(inputs: np.ndarray, schema: pa.Schema) -> list[pa.Array]:
    if pa.types.is_fixed_size_binary(schema.field(0).type):
        return [image_column(inputs)]
    if inputs.dtype.kind == "U":
        return [pa.array(inputs)]
    return [pa.array(column) for column in inputs.reshape(len(inputs), -1).T]
