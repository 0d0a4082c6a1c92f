"""Tables: one file, or a folder of files of one format, as a source of named columns."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from tasks.contracts.errors import DataError
from tasks.datasets import csv_files, json_lines, parquet_files
from tasks.datasets.column_types import stored, unified
from tasks.datasets.source import PART_NAMES, Part, Source, stem

Read = Callable[[Path, pa.Schema, Sequence[str]], Iterator[pa.RecordBatch]]


class _Format(NamedTuple):
    infer: Callable[[Path], pa.Schema]
    scan: Callable[[Path], pa.Schema]
    read: Read


FORMATS = {
    "csv": _Format(csv_files.infer, csv_files.scan, csv_files.read),
    "parquet": _Format(parquet_files.infer, parquet_files.infer, parquet_files.read),
    "jsonl": _Format(json_lines.infer, json_lines.infer, json_lines.read),
}


def open_table(name: str, files: Sequence[Path], form: str) -> Source:
    """One or more files of format csv, parquet or jsonl with the same columns.

    A file called train, test or validation is a part of that side.
    """
    return _opened(name, files, form, FORMATS[form].infer)


def _opened(name: str, files: Sequence[Path], form: str, infer: Callable[[Path], pa.Schema]) -> Source:
    schemas = [_checked(path, infer(path)) for path in files]
    columns = reduce(partial(_joined, files[0]), zip(files, schemas, strict=True), schemas[0])
    widen = partial(_opened, name, files, form, FORMATS[form].scan) if infer is csv_files.infer else None
    return _source(name, files, form, columns, widen)


def _source(
    name: str, files: Sequence[Path], form: str, columns: pa.Schema, widen: Callable[[], Source] | None
) -> Source:
    parts = tuple(
        Part(path.name, PART_NAMES.get(stem(path)), partial(FORMATS[form].read, path, columns)) for path in files
    )

    def as_words(names: frozenset[str]) -> Source:
        kinds = [(field.name, pa.string() if field.name in names else field.type) for field in columns]
        return _source(name, files, form, pa.schema(kinds), widen)

    return Source(name, "table", columns, parts, widen=widen, as_words=as_words if form == "csv" else None)


def _checked(path: Path, schema: pa.Schema) -> pa.Schema:
    twice = [name for name, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise DataError(f"{path.name} has {twice[0]!r} as the name of two columns, but names must differ: rename one")
    if not all(name.strip() for name in schema.names):
        place = next(i for i, name in enumerate(schema.names, start=1) if not name.strip())
        raise DataError(f"column {place} of {path.name} has no name, but must have one: name it in the header")
    return pa.schema([(field.name, stored(field.type)) for field in schema])


def _joined(first: Path, schema: pa.Schema, other: tuple[Path, pa.Schema]) -> pa.Schema:
    path, columns = other
    if set(columns.names) != set(schema.names):
        odd = sorted(set(columns.names) ^ set(schema.names))[0]
        raise DataError(
            f"{first.name} and {path.name} differ in column {odd!r}, but must have the same: give each the same columns"
        )
    return pa.schema([(field.name, unified(field.type, columns.field(field.name).type)) for field in schema])
