"""IDX, the format of MNIST: a file of images and a file of labels, plain or gzipped.

Layout: two zero bytes, a type code, the number of axes, each axis as a big-endian int32, then the values
(http://yann.lecun.com/exdb/mnist, section "The IDX file format").
"""

import struct
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa

from tasks.contracts.dataset import Split
from tasks.contracts.errors import DataError
from tasks.datasets.source import PART_NAMES, Part, Source, batch_rows, image_column, open_bytes

UNSIGNED_BYTE = 0x08
LARGEST_IMAGE = 1 << 28


class _Pair(NamedTuple):
    images: Path
    labels: Path
    shape: tuple[int, ...]
    rows: int


def is_idx(path: Path) -> bool:
    """Whether a file is named like one of MNIST's."""
    return ("idx" in path.name.lower() and "ubyte" in path.name.lower()) or ".idx" in path.name.lower()


def open_idx(name: str, files: Sequence[Path]) -> Source:
    """Pairs of files `*images*` and `*labels*`, one a side: `train-...`, `t10k-...`.

    Raises:
        DataError: naming the file that is no IDX, has no partner, or disagrees with it.
    """
    pairs = [_pair(path) for path in files if "labels" not in path.name.lower()]
    if not pairs:
        raise DataError(f"{name} holds no IDX file of images, but must: add the images beside {files[0].name}")
    for pair in pairs[1:]:
        if pair.shape != pairs[0].shape:
            raise DataError(
                f"{pair.images.name} holds images {pair.shape}, but must hold {pairs[0].shape} like "
                f"{pairs[0].images.name}: choose files of one size"
            )
    shape = pairs[0].shape
    columns = pa.schema([("image", pa.binary(int(np.prod(shape)))), ("label", pa.int64())])
    parts = (Part(pair.images.name, _split(pair.images), partial(_read, pair, columns)) for pair in pairs)
    return Source(name, "images", columns, tuple(parts), shape=shape)


def _split(path: Path) -> Split | None:
    return PART_NAMES.get(path.name.lower().split("images")[0].strip("-_."))


def _pair(images: Path) -> _Pair:
    swaps = (("images", "labels"), ("idx3", "idx1"), ("idx4", "idx1"))
    name = images.name
    for old, new in swaps:
        name = name.replace(old, new)
    labels = next((path for path in (images.with_name(name), *_siblings(images, name)) if path.exists()), None)
    if labels is None or labels == images:
        raise DataError(f"{images.name} has no labels, but needs {name} beside it: add that file")
    rows, *shape = _header(images, axes=(3, 4))
    (count,) = _header(labels, axes=(1,))
    if count != rows:
        raise DataError(
            f"{labels.name} holds {count} labels, but must hold {rows}, one for each image of {images.name}: "
            "choose files that belong together"
        )
    return _Pair(images, labels, tuple(shape), rows)


def _siblings(images: Path, name: str) -> tuple[Path, Path]:
    """The same name packed, and unpacked."""
    return images.with_name(name + ".gz"), images.with_name(name.removesuffix(".gz"))


def _header(path: Path, axes: tuple[int, ...]) -> list[int]:
    with open_bytes(path) as file:
        return _sizes(path, file, axes)


def _sizes(path: Path, file: BinaryIO, axes: tuple[int, ...]) -> list[int]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != UNSIGNED_BYTE or magic[3] not in axes:
        wanted = " or ".join(f"0000080{count}" for count in axes)
        raise DataError(
            f"{path.name} begins with {magic.hex() or 'nothing'}, but must begin with {wanted} (IDX, unsigned bytes): "
            "choose the right file"
        )
    packed = file.read(4 * magic[3])
    if len(packed) < 4 * magic[3]:
        raise DataError(f"{path.name} ends in its header, but must be whole: copy it again")
    sizes = list(struct.unpack(f">{magic[3]}i", packed))
    if min(sizes) < 1 or int(np.prod(sizes[1:], dtype=object)) > LARGEST_IMAGE:
        raise DataError(f"{path.name} says it has the shape {sizes}, but must hold images below 256 MiB: copy it again")
    return sizes


def _read(pair: _Pair, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    size = int(np.prod(pair.shape))
    with open_bytes(pair.images) as images, open_bytes(pair.labels) as labels:
        _sizes(pair.images, images, (3, 4))
        _sizes(pair.labels, labels, (1,))
        step = batch_rows(size)
        for start in range(0, pair.rows, step):
            count = min(step, pair.rows - start)
            pixels = np.frombuffer(_exactly(pair.images, images, count, size, start), np.uint8)
            names = np.frombuffer(_exactly(pair.labels, labels, count, 1, start), np.uint8)
            arrays = [image_column(pixels.reshape(count, *pair.shape)), pa.array(names.astype(np.int64))]
            yield pa.record_batch(arrays, schema=schema).select(columns)
        _refuse_more(pair.images, images)
        _refuse_more(pair.labels, labels)


def _exactly(path: Path, file: BinaryIO, count: int, size: int, start: int) -> bytes:
    content = file.read(count * size)
    if len(content) < count * size:
        raise DataError(
            f"{path.name} ends in row {start + len(content) // size + 1}, but its header promises more: copy it again"
        )
    return content


def _refuse_more(path: Path, file: BinaryIO) -> None:
    if file.read(1):
        raise DataError(f"{path.name} goes on beyond the rows its header promises, but must not: copy it again")
