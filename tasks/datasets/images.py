"""Folders of PNG and JPEG images: a sub-folder is a class; train and test folders may stand above the classes."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image

from tasks.contracts.errors import DataError
from tasks.datasets.labels import named, named_type
from tasks.datasets.source import PART_NAMES, Part, Source, batch_rows, first_line, image_column, in_order

FORMATS = ("PNG", "JPEG")
GREY = {"1", "L"}
DEEP = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
Mode = Literal["L", "RGB"]
_BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for files that are no images, or are cut."""


class _File(NamedTuple):
    path: Path
    label: str


def open_images(folder: Path) -> Source:
    """All images under a folder, in the order of their paths.

    Every header is looked at first: images must be of one size. If all are grey a row is (H, W), else (H, W, 3), and
    transparency is dropped.

    Raises:
        DataError: naming the file that is no image, is of another size, or lies in no class.
    """
    roots = _parts(folder)
    files = {root: _files(folder, root) for root in roots}
    shape, mode = _common_shape(folder, [file for each in files.values() for file in each])
    labels = named_type({file.label for each in files.values() for file in each})
    columns = pa.schema([("image", pa.binary(int(np.prod(shape)))), ("label", labels)])
    parts = tuple(
        Part(root.name, PART_NAMES.get(root.name.lower()), partial(_read, folder, files[root], mode, columns))
        for root in roots
    )
    return Source(folder.name, "images", columns, parts, shape=shape)


def _parts(folder: Path) -> list[Path]:
    sides = [child for child in _visible(folder) if child.is_dir() and child.name.lower() in PART_NAMES]
    if not sides:
        return [folder]
    for child in _visible(folder):
        if child not in sides:
            raise DataError(
                f"{child.name} lies beside {sides[0].name} in {folder.name}, but a folder with train and test "
                "must hold nothing else: move it away"
            )
    return in_order(sides)


def _visible(folder: Path) -> list[Path]:
    hidden = {"Thumbs.db", "desktop.ini"}
    return sorted(child for child in folder.iterdir() if not child.name.startswith(".") and child.name not in hidden)


def _files(folder: Path, root: Path) -> list[_File]:
    found = []
    for child in _visible(root):
        if not child.is_dir():
            raise DataError(
                f"{child.relative_to(folder)} lies in no class, but every image must lie in a sub-folder named after "
                "its class: move it"
            )
        images = _under(child)
        if not images:
            raise DataError(f"folder {child.relative_to(folder)} holds no image, but every class must: remove it")
        found += [_File(path, child.name) for path in images]
    if not found:
        raise DataError(
            f"{root.name} holds no images, but must hold a sub-folder for each class: choose another source"
        )
    return found


def _under(folder: Path) -> list[Path]:
    return [path for child in _visible(folder) for path in (_under(child) if child.is_dir() else [child])]


def _common_shape(folder: Path, files: Sequence[_File]) -> tuple[tuple[int, ...], Mode]:
    first: tuple[int, int] | None = None
    grey = True
    for file in files:
        size, mode = _header(folder, file.path)
        first = first or size
        if size != first:
            raise DataError(
                f"{file.path.relative_to(folder)} is {size[0]} x {size[1]} pixels, but all must be {first[0]} x "
                f"{first[1]} like {files[0].path.relative_to(folder)}: resize or remove it"
            )
        grey = grey and mode in GREY
    width, height = first or (0, 0)
    return ((height, width), "L") if grey else ((height, width, 3), "RGB")


def _header(folder: Path, path: Path) -> tuple[tuple[int, int], str]:
    try:
        with Image.open(path, formats=FORMATS) as image:
            size, mode = image.size, image.mode
    except _BROKEN as error:
        raise DataError(
            f"{path.relative_to(folder)} is no PNG or JPEG image, but everything in a class folder must be: "
            "move it away"
        ) from error
    if mode in DEEP:
        raise DataError(
            f"{path.relative_to(folder)} has more than 8 bits a channel, but must have 8: convert it to 8-bit PNG"
        )
    return size, mode


def _read(
    folder: Path, files: Sequence[_File], mode: Mode, schema: pa.Schema, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    step = batch_rows(schema.field("image").type.byte_width)
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(files), step):
            some = files[start : start + step]
            pixels = np.stack(list(pool.map(partial(_pixels, folder, mode), some)))
            labels = named([file.label for file in some], schema.field("label").type)
            yield pa.record_batch([image_column(pixels), labels], schema=schema).select(columns)


def _pixels(folder: Path, mode: Mode, file: _File) -> np.ndarray:
    try:
        with Image.open(file.path, formats=FORMATS) as image:
            return np.asarray(image.convert(mode), dtype=np.uint8)
    except _BROKEN as error:
        raise DataError(
            f"{file.path.relative_to(folder)} is no whole image ({first_line(error)}), but must be: "
            "copy it again or remove it"
        ) from error
