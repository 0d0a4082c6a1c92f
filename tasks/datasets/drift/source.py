"""New rows from whatever ingest reads, held against the champion's schema; labels may be absent."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts.config import Format
from tasks.contracts.contract import Contract
from tasks.contracts.errors import DataError
from tasks.contracts.schema import Feature, Schema
from tasks.datasets.column_types import is_number, is_words
from tasks.datasets.demands import demands_of
from tasks.datasets.drift.batch import Batch, batch_of
from tasks.datasets.formats import open_source
from tasks.datasets.source import Source, TypesTooNarrow, batch_rows, row_bytes

Result = TypeVar("Result")


def with_source(
    path: Path, schema: Schema, format: Format, max_bytes: int, use: Callable[[Iterator[Batch]], Result]
) -> Result:
    """Hands the rows of a file or folder to `use`; once more from the start if later rows show wider types.

    Args:
        path: The file or folder.
        schema: Of the champion.
        format: How the source is written.
        max_bytes: Refuse a source larger than this.
        use: What is done with the rows.

    Raises:
        DataError: It cannot be read, lacks a column of the champion, or one is of another kind.
    """
    source = open_source(path, format, max_bytes)
    try:
        return use(_batches(source, schema))
    except TypesTooNarrow:
        if source.widen is None:
            raise
        return use(_batches(source.widen(), schema))


def split_batches(path: Path, schema: Schema) -> Iterator[Batch]:
    """The rows of a split file that ingest wrote."""
    with pq.ParquetFile(path) as file:
        for rows in file.iter_batches(batch_rows(row_bytes(file.schema_arrow))):
            yield batch_of(rows, schema)


def _batches(source: Source, schema: Schema) -> Iterator[Batch]:
    source = _typed(source, schema)
    for feature in schema.features:
        _check(source, feature)
    names = [feature.name for feature in schema.features]
    if schema.target in source.columns.names:
        _check_target(source, schema)
        names.append(schema.target)
    for part in source.parts:
        for rows in part.read(names):
            if rows.num_rows:
                yield batch_of(rows, schema)


def _typed(source: Source, schema: Schema) -> Source:
    """The source with words where the champion learned words, also where all that are left look like something else."""
    types = dict(zip(source.columns.names, source.columns.types, strict=True))
    words = [demand for demand in demands_of(Contract(schema_=schema)) if demand.holds == "words"]
    return source.in_words(d.column for d in words if d.column in types and d.read_as(types[d.column]) is None)


def _check(source: Source, feature: Feature) -> None:
    if feature.name not in source.columns.names:
        known = ", ".join(source.columns.names[:20])
        raise DataError(
            f"{source.name} has no column {feature.name!r}, but the champion reads it (there are: {known}): add it"
        )
    kind = source.columns.field(feature.name).type
    if feature.kind == "image":
        if source.kind != "images" or source.shape != feature.shape:
            found = "no images" if source.kind != "images" else f"images of {_size(source.shape)}"
            raise DataError(f"{source.name} holds {found}, but the champion takes {_size(feature.shape)}: resize them")
    elif not _fits(kind, feature):
        wanted = "numbers" if feature.kind == "number" else "words"
        raise DataError(
            f"column {feature.name!r} of {source.name} holds {kind}, but the champion takes {wanted}: correct it"
        )


def _check_target(source: Source, schema: Schema) -> None:
    kind = source.columns.field(schema.target).type
    wanted = "number" if schema.task == "regression" else "category"
    if not _fits(kind, Feature(name=schema.target, kind=wanted)):
        raise DataError(
            f"column {schema.target!r} of {source.name} holds {kind}, but the champion was told {wanted}s: correct the "
            "column, or leave it out"
        )


def _fits(kind: pa.DataType, feature: Feature) -> bool:
    # A column without any value has no type of its own: all of it is missing.
    plain = pa.types.is_null(kind) or pa.types.is_boolean(kind) or is_number(kind)
    return bool(plain if feature.kind == "number" else plain or is_words(kind))


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
