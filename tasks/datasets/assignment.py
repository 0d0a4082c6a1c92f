"""The rule by which rows find their side, chosen once and then asked batch by batch."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

from tasks.contracts.dataset import Split
from tasks.contracts.errors import ConfigError, DataError, unknown_name
from tasks.datasets import splits
from tasks.datasets.fingerprint import uniform
from tasks.datasets.source import Part, Source
from tasks.datasets.splits import SIDES, Shares

SplitBy = Literal["random", "hash", "time", "given"]
SPLIT_COLUMN = "split"


class Batch(NamedTuple):
    """Some rows of a part, on their way to a side."""

    part: Part
    cells: pa.RecordBatch
    rows: np.ndarray
    """Their numbers in the part, from 1: what messages say."""
    numbers: np.ndarray
    """Their numbers in the source, from 0: what chance is drawn from."""

    def where(self, kept: np.ndarray) -> "Batch":
        """The rows where the mask is true."""
        return Batch(self.part, self.cells.filter(pa.array(kept)), self.rows[kept], self.numbers[kept])


Assign = Callable[[Batch, np.ndarray], np.ndarray]
"""From a batch and the fingerprints of its rows to their sides, int8 (N,)."""
Sift = Callable[[tuple[str, ...]], Iterator[Batch]]
"""From columns that are wanted to all rows that count, which may have further ones."""


def batches(source: Source, columns: tuple[str, ...]) -> Iterator[Batch]:
    """All rows of a source, part after part."""
    number = 0
    for part in source.parts:
        row = 1
        for cells in part.read(columns):
            count = cells.num_rows
            yield Batch(part, cells, np.arange(row, row + count), np.arange(number, number + count))
            row, number = row + count, number + count


def reserved_columns(source: Source, split_by: SplitBy, time_column: str) -> tuple[str, ...]:
    """The columns that assign rows to sides, and are therefore no features unless named."""
    names = source.columns.names
    if split_by == "time":
        if not time_column:
            raise ConfigError(
                "ingest.time_column is empty, but split_by=time needs one: name the column that orders rows"
            )
        if time_column not in names:
            raise DataError(f"ingest.time_column: {unknown_name('column', time_column, names)}")
        return (time_column,)
    if split_by == "given" and source.kind == "table" and SPLIT_COLUMN in names:
        return (SPLIT_COLUMN,)
    return ()


def assigner(
    source: Source,
    split_by: SplitBy,
    reserved: tuple[str, ...],
    shares: Shares,
    *,
    seed: int,
    sift: Sift | None = None,
) -> Assign:
    """The rule for this source; `sift` gives the rows that decide where time is cut, else all do.

    Raises:
        DataError: if the source has no times, or does not say which rows are train and test.
    """
    if split_by == "hash":
        return lambda _, contents: splits.by_draw(uniform(contents), shares)
    if split_by == "time":
        return _by_time(sift or partial(batches, source), reserved[0], shares)
    if split_by == "given":
        return _by_column(source, shares, seed) if reserved else _by_part(source, shares, seed)
    return lambda batch, _: splits.by_draw(splits.draws(seed, batch.numbers), shares)


def _by_time(sift: Sift, column: str, shares: Shares) -> Assign:
    def keys(batch: Batch) -> np.ndarray:
        return splits.time_keys(batch.cells.column(column), batch.rows, batch.part.name, column)

    every = [keys(batch) for batch in sift((column,))]
    cuts = splits.time_cuts(np.concatenate(every), shares)
    return lambda batch, _: splits.by_time(keys(batch), cuts)


def _by_column(source: Source, shares: Shares, seed: int) -> Assign:
    def sides(batch: Batch) -> np.ndarray:
        return splits.by_column(batch.cells.column(SPLIT_COLUMN), batch.rows, batch.part.name)

    present = {SIDES[code] for batch in batches(source, (SPLIT_COLUMN,)) for code in np.unique(sides(batch))}
    _refuse_absent(f"column {SPLIT_COLUMN!r} of {source.name}", present)
    if "validation" in present:
        return lambda batch, _: sides(batch)
    return lambda batch, _: splits.given_validation(sides(batch), seed, batch.numbers, shares.validation)


def _by_part(source: Source, shares: Shares, seed: int) -> Assign:
    present = {part.split for part in source.parts}
    nameless = next((part.name for part in source.parts if part.split is None), None)
    if nameless is not None:
        raise DataError(
            f"{nameless} is named after no split, but split_by=given needs train and test files or a column "
            f"{SPLIT_COLUMN!r}: rename it, or set ingest.split_by to random"
        )
    _refuse_absent(source.name, {split for split in present if split})

    def sides(batch: Batch, _: np.ndarray) -> np.ndarray:
        code = SIDES.index(batch.part.split or "train")
        given = np.full(len(batch.rows), code, dtype=np.int8)
        if "validation" in present:
            return given
        return splits.given_validation(given, seed, batch.numbers, shares.validation)

    return sides


def _refuse_absent(what: str, present: set[Split]) -> None:
    for side in ("train", "test"):
        if side not in present:
            raise DataError(
                f"{what} gives no {side} rows, but split_by=given needs train and test: "
                "add them, or set ingest.split_by to random"
            )
