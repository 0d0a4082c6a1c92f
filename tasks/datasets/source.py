"""What every kind of source looks like once opened: named columns, and parts that can be read again and again.

A source never hands out more than one batch at a time, so memory is bounded by the batch and not by the data.
"""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

import numpy as np
import pyarrow as pa

from tasks.contracts.dataset import Split
from tasks.contracts.errors import DataError

BATCH_BYTES = 1 << 24
"""About what a batch holds, and a row group of a written split."""
BATCH_ROWS = 1 << 16

PART_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "t10k": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
}
"""What files, folders and cells of a split column call the sides."""


class TypesTooNarrow(DataError):  # noqa: N818 - no user sees it: the reader starts again with wider types
    """A later row does not fit the types that the first block showed."""


@dataclass(frozen=True)
class Part:
    """One file (or folder, or array) of a source."""

    name: str
    split: Split | None
    """The side it is named after, if any."""
    read: Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
    """The named columns, in order, batch by batch."""


@dataclass(frozen=True)
class Source:
    """An opened source: nothing but the first bytes have been read."""

    name: str
    kind: Literal["table", "images", "text"]
    columns: pa.Schema
    parts: tuple[Part, ...]
    shape: tuple[int, ...] = ()
    """Of one image; empty for tables and text."""
    warnings: tuple[str, ...] = ()
    """What was odd about the files themselves."""
    widen: Callable[[], "Source"] | None = None
    """Looks at every row and gives the source with types that fit them all; None where types are certain."""
    as_words: Callable[[frozenset[str]], "Source"] | None = None
    """The source with these columns read as words, as they are written; None where each cell has a type of its own."""

    def in_words(self, names: Iterable[str]) -> "Source":
        """The source with these columns read as words, if there are any and its cells have no types of their own."""
        chosen = frozenset(names)
        return self.as_words(chosen) if chosen and self.as_words else self


def stem(path: Path) -> str:
    """The name up to its first dot, in lower case: what says which side a file is.

    >>> stem(Path("data/Train.csv.gz"))
    'train'
    """
    return path.name.split(".")[0].lower()


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Training files first, then by name: the first file says how columns are ordered.

    >>> [path.name for path in in_order([Path("test.csv"), Path("train.csv"), Path("dev.csv")])]
    ['train.csv', 'dev.csv', 'test.csv']
    """
    return sorted(paths, key=lambda path: (PART_NAMES.get(stem(path).split("-")[0]) != "train", path.name))


def batch_rows(row_bytes: int) -> int:
    """How many rows of this size make a batch.

    >>> batch_rows(80), batch_rows(784), batch_rows(3 * 1024 * 1024)
    (65536, 21399, 5)
    """
    return max(1, min(BATCH_ROWS, BATCH_BYTES // max(row_bytes, 1)))


def row_bytes(schema: pa.Schema) -> int:
    """About how large a row of these columns is: 8 bytes a number, 1 KiB a string."""
    return sum(_cell_bytes(field.type) for field in schema)


def _cell_bytes(kind: pa.DataType) -> int:
    if pa.types.is_fixed_size_binary(kind):
        return int(kind.byte_width)
    return 8 if pa.types.is_primitive(kind) else 1024


def image_column(images: np.ndarray) -> pa.Array:
    """Images uint8 (N, ...) as fixed-size binary cells."""
    pixels = np.ascontiguousarray(images)
    size = int(np.prod(images.shape[1:]))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(size), len(images), [None, pa.py_buffer(pixels)])


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked if its name ends in .gz; a broken archive is a `DataError`."""
    with path.open("rb") as packed:
        try:
            yield cast(BinaryIO, gzip.GzipFile(fileobj=packed)) if path.suffix == ".gz" else packed
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{path.name} is no whole gzip file, but must be one: pack or copy it again") from error


def first_line(error: BaseException) -> str:
    """What a library says, on one short line for a message of ours."""
    return next(iter(str(error).splitlines()), "")[:120].rstrip(". ")


def refuse_undecodable(path: Path) -> None:
    """Raises `DataError` naming the first line that is not UTF-8; returns if there is none."""
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"line {number} of {path.name} holds byte 0x{line[error.start]:02x}, but must be UTF-8: "
                    "save the file as UTF-8"
                ) from error
