"""Holds every row of a source to the champion's contract: the first break is refused, or all are put aside."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.contracts.config import IngestConfig
from tasks.contracts.contract import Contract
from tasks.contracts.dataset import Break, Rule
from tasks.contracts.errors import DataError
from tasks.datasets.agreed import CHANGE
from tasks.datasets.assignment import Batch, batches
from tasks.datasets.column_types import is_words
from tasks.datasets.demands import Demand, demands_of
from tasks.datasets.facts import Place
from tasks.datasets.source import Source

OnBreak = Literal["refuse", "quarantine"]
PUT_ASIDE = pa.schema(
    [
        (name, pa.int64() if name == "row" else pa.string())
        for name in ("file", "row", "column", "rule", "value", "cells")
    ]
)
MOST_NAMED = 5


class Terms(NamedTuple):
    """A contract and what happens to rows that break it."""

    contract: Contract
    on_break: OnBreak = "refuse"
    max_quarantine_share: float = 0.1


def terms_of(contract: Contract | None, config: IngestConfig) -> Terms | None:
    """What a form makes of a contract; None if there is none, or it is ignored."""
    if contract is None or config.contract == "ignore":
        return None
    return Terms(contract, config.contract, config.max_quarantine_share)


class Held(NamedTuple):
    """What was put aside."""

    path: Path
    rows: int
    read: int
    breaks: tuple[Break, ...]


class Guard:
    """Lets rows pass that keep the contract, in the types it asks for; a context that leaves no file if it fails."""

    def __init__(self, terms: Terms, source: Source, missing: str, folder: Path) -> None:
        """Looks at the types of the columns.

        Raises:
            DataError: naming a column of which no cell can be what is demanded.
        """
        self.contract = terms.contract
        self._terms = terms
        self._missing = missing
        self._demands = {demand.column: demand for demand in demands_of(terms.contract, missing)}
        self.source = self._typed(source)
        """The source, with the types that rows have once they passed."""
        self._breaks: dict[tuple[str, Rule], Break] = {}
        self._read = 0
        self._file = _Aside(folder)

    @property
    def rows(self) -> int:
        """Those that were put aside."""
        return sum(each.rows for each in self._breaks.values())

    def admit(self, batch: Batch) -> Batch:
        """The rows that keep the contract.

        Raises:
            DataError: naming column, row and rule, unless broken rows are put aside.
        """
        self._read += len(batch.rows)
        passed, broken, found = self._judged(batch)
        if found:
            self._note(batch, found)
        return passed.where(~broken) if found else passed

    def sift(self, wanted: tuple[str, ...]) -> Iterator[Batch]:
        """All rows that would not be put aside, unnoted; a break that is refused is left for `admit` to tell."""
        judged = self._demands if self._terms.on_break == "quarantine" else ()
        for batch in batches(self.source, tuple(dict.fromkeys([*wanted, *judged]))):
            passed, broken, _ = self._judged(batch)
            yield passed.where(~broken)

    def _judged(self, batch: Batch) -> tuple[Batch, np.ndarray, list[tuple[Demand, Rule, np.ndarray]]]:
        """The rows in the types they are kept in, which of them break the contract, and how."""
        columns, broken = list(batch.cells.columns), np.zeros(len(batch.rows), dtype=bool)
        found: list[tuple[Demand, Rule, np.ndarray]] = []
        for place, name in enumerate(batch.cells.schema.names):
            if name in self._demands:
                columns[place], rules = self._demands[name].judge(columns[place])
                for rule, mask in rules:
                    found.append((self._demands[name], rule, mask & ~broken))
                    broken |= mask
        kept = batch._replace(cells=pa.record_batch(columns, names=batch.cells.schema.names))
        return kept, broken, found

    def settle(self) -> Held | None:
        """What was put aside, once all rows were seen.

        Raises:
            DataError: if that is more than the form allows.
        """
        held, most = self.rows, self._terms.max_quarantine_share
        if held > most * self._read:
            first = next(iter(self._breaks.values()))
            raise DataError(
                f"{held} of {self._read} rows break {self.contract.called} (first column {first.column!r} in "
                f"{first.first}: {first.rule}), but ingest.max_quarantine_share is {most:g}: "
                "mend the source, or raise it"
            )
        return Held(self._file.close(), held, self._read, tuple(self._breaks.values())) if held else None

    def keep(self) -> None:
        """Gives the file its name."""
        self._file.keep()

    def __enter__(self) -> "Guard":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.abandon()

    def _typed(self, source: Source) -> Source:
        source = source.in_words(
            name for name, demand in self._demands.items() if demand.read_as(source.columns.field(name).type) is None
        )
        return replace(source, columns=pa.schema([self._kept(source, field) for field in source.columns]))

    def _kept(self, source: Source, field: pa.Field) -> pa.Field:
        demand = self._demands.get(field.name)
        kind = demand.read_as(field.type) if demand else field.type
        if kind is None:
            holds = demand.holds if demand else ""
            raise DataError(
                f"column {field.name!r} is {field.type} from row 1 of {source.parts[0].name} on, but "
                f"{self.contract.called} holds {holds} there: convert it, or {CHANGE}"
            )
        return pa.field(field.name, kind)

    def _note(self, batch: Batch, found: Sequence[tuple[Demand, Rule, np.ndarray]]) -> None:
        if self._terms.on_break == "refuse":
            demand, rule, mask = min((each for each in found if each[2].any()), key=lambda each: int(each[2].argmax()))
            place = int(mask.argmax())
            raise DataError(self._sentence(demand, rule, _text(batch, demand.column, place), _place(batch, place)))
        for demand, rule, mask in found:
            count = int(mask.sum())
            if count:
                key = (demand.column, rule)
                before = self._breaks.get(key)
                first = before.first if before else str(_place(batch, int(mask.argmax())))
                rows = count + (before.rows if before else 0)
                self._breaks[key] = Break(column=demand.column, rule=rule, rows=rows, first=first)
        self._file.add(batch, [(demand.column, rule, mask) for demand, rule, mask in found], tuple(self._demands))

    def _sentence(self, demand: Demand, rule: Rule, value: str, place: Place) -> str:
        shown = repr(value if len(value) <= 40 else value[:40] + "...")
        known = [str(each) for each in (demand.known if rule == "category" else demand.labels) or ()]
        listed = ", ".join(each[:20] for each in known[:MOST_NAMED]) + (", ..." if len(known) > MOST_NAMED else "")
        demanded = {
            "number": "holds numbers there",
            "empty": "has no empty cell there",
            "finite": "holds finite numbers below 3.4e38 there",
            "category": f"knows {listed} there",
            "label": f"has the classes {listed}",
        }[rule]
        mend = "fill it in, set ingest.missing to drop" if rule == "empty" else "mend the cell"
        what = "is empty" if rule == "empty" else f"is {shown}"
        return (
            f"column {demand.column!r} {what} in {place}, but {self.contract.called} {demanded}: {mend}, or set "
            "ingest.contract to quarantine"
        )


class _Aside:
    """Rows on their way into quarantine, a batch at a time."""

    def __init__(self, folder: Path) -> None:
        self._partial, self._path = folder / ".quarantine.parquet.partial", folder / "quarantine.parquet"
        self._writer: Any = None

    def add(self, batch: Batch, found: Sequence[tuple[str, Rule, np.ndarray]], columns: tuple[str, ...]) -> None:
        rows = []
        for column, rule, mask in found:
            rows += [(int(place), column, rule) for place in np.flatnonzero(mask)]
        rows.sort()
        chosen = batch.cells.take(pa.array([place for place, _, _ in rows], pa.int64()))
        texts = {
            name: _words(chosen.column(name))
            for name in columns
            if name in chosen.schema.names and not pa.types.is_fixed_size_binary(chosen.schema.field(name).type)
        }
        table = pa.table(
            [
                [batch.part.name] * len(rows),
                [int(batch.rows[place]) for place, _, _ in rows],
                [column for _, column, _ in rows],
                [rule for _, _, rule in rows],
                [texts[column][i] for i, (_, column, _) in enumerate(rows)],
                [orjson.dumps({name: cells[i] for name, cells in texts.items()}).decode() for i in range(len(rows))],
            ],
            schema=PUT_ASIDE,
        )
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._partial, PUT_ASIDE, version="2.6", compression="zstd")
        self._writer.write_table(table)

    def close(self) -> Path:
        self._writer.close()
        return self._path

    def keep(self) -> None:
        if self._writer is not None:
            self._partial.replace(self._path)

    def abandon(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._partial.unlink(missing_ok=True)


def _place(batch: Batch, place: int) -> Place:
    return Place(int(batch.rows[place]), batch.part.name)


def _text(batch: Batch, column: str, place: int) -> str:
    return _words(batch.cells.column(column).slice(place, 1))[0] or ""


def _words(cells: pa.Array) -> list[str | None]:
    words: list[str | None] = (cells if is_words(cells.type) else pc.cast(cells, pa.string())).to_pylist()
    return words
