"""The one pass over a source: check, assign, write, and remember what the checks and warnings need."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from tasks.contracts.errors import DataError
from tasks.datasets.assignment import Assign, Batch, batches
from tasks.datasets.checks import LabelCounts, check_missing, check_ranges
from tasks.datasets.column_types import is_words
from tasks.datasets.duplicates import Duplicates
from tasks.datasets.facts import ColumnFacts, missing_cells
from tasks.datasets.fingerprint import fingerprints
from tasks.datasets.guard import Guard, Held
from tasks.datasets.oddities import Leaks
from tasks.datasets.schema import Columns
from tasks.datasets.source import Source
from tasks.datasets.writer import SplitWriter


@dataclass
class Intake:
    """What one pass has learnt."""

    facts: dict[str, ColumnFacts]
    leaks: Leaks
    labels: LabelCounts = field(default_factory=LabelCounts)
    duplicates: Duplicates = field(default_factory=Duplicates)
    rows: int = 0
    """All that were read, but for those that broke the contract."""
    held: Held | None = None
    """Those that were put aside for breaking the contract."""
    dropped: int = 0
    """Those that were left out for a missing cell."""


def take_in(
    source: Source,
    columns: Columns,
    reserved: tuple[str, ...],
    *,
    assign: Assign,
    missing: str,
    writer: SplitWriter,
    guard: Guard | None = None,
) -> Intake:
    """Writes every usable row to its side.

    Raises:
        DataError: naming the cell that is missing or infinite, or breaks the contract that a guard holds rows to.
        TypesTooNarrow: if the source must be opened with wider types.
    """
    kept = (*columns.features, columns.target)
    intake = Intake(
        facts={name: _facts(source, columns, name) for name in kept}, leaks=Leaks(columns.features, columns.target)
    )
    read = (*kept, *(name for name in reserved if name not in kept))
    for found in batches(source, read):
        batch = guard.admit(found) if guard else found
        intake.rows += len(batch.rows)
        whole = _without_missing(intake, batch, kept, drop=missing == "drop")
        cells = whole.cells.select(kept)
        for name, column in zip(kept, cells.columns, strict=True):
            intake.facts[name].update(column, whole.rows, whole.part.name)
        contents = fingerprints(cells.columns, cells.num_rows)
        sides = assign(whole, contents)
        intake.labels.update(cells.column(columns.target), sides)
        intake.leaks.update(cells)
        intake.duplicates.add(contents, sides)
        writer.write(cells, sides)
    if guard:
        intake.held = guard.settle()
    _check(source, intake, columns, missing)
    return intake


def _facts(source: Source, columns: Columns, name: str) -> ColumnFacts:
    column = source.columns.field(name)
    return ColumnFacts(column, counted=name == columns.target or (is_words(column.type) and not columns.text))


def _without_missing(intake: Intake, batch: Batch, names: tuple[str, ...], *, drop: bool) -> Batch:
    """Notes missing cells; gives the rows that stay."""
    lacking = np.zeros(batch.cells.num_rows, dtype=bool)
    for name in names:
        mask = missing_cells(batch.cells.column(name))
        if mask is not None:
            intake.facts[name].note_missing(mask, batch.rows, batch.part.name)
            lacking |= mask
    if not drop or not lacking.any():
        return batch
    intake.dropped += int(lacking.sum())
    return batch.where(~lacking)


def _check(source: Source, intake: Intake, columns: Columns, missing: str) -> None:
    if not intake.rows:
        raise DataError(f"{source.name} holds no rows, but must hold some: choose another source")
    check_missing(intake.facts, intake.rows, columns.target, missing)
    if intake.dropped == intake.rows:
        raise DataError(
            f"{source.name} has no usable row, but must have some: set ingest.missing to mean, or exclude empty columns"
        )
    check_ranges(intake.facts)


def written_schema(source: Source, columns: Columns) -> pa.Schema:
    """The columns of a split file: features in order, then the target; the image shape in the metadata."""
    fields = [source.columns.field(name) for name in (*columns.features, columns.target)]
    shape = ",".join(map(str, source.shape))
    return pa.schema(fields, metadata={"image_shape": shape} if shape else None)
