"""From a source to three files of raw rows, and everything that is known of them.

One pass reads, checks, assigns and writes; a second one, over the training rows alone, fits encoding and profile.
Memory is bounded by a batch and its row groups, whatever the size of the source (split_by=time keeps one number a row).
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa

from tasks.contracts.config import Format
from tasks.contracts.dataset import Profile, Split
from tasks.contracts.schema import Encoding, Schema
from tasks.datasets.agreed import agreed, check_form, check_labels, check_source
from tasks.datasets.assignment import SplitBy, assigner, reserved_columns
from tasks.datasets.checks import check_rows, check_schema, check_summary, check_types
from tasks.datasets.encoding import Scaling, fit
from tasks.datasets.formats import open_source
from tasks.datasets.guard import Guard, Held, Terms
from tasks.datasets.intake import Intake, take_in, written_schema
from tasks.datasets.oddities import oddities
from tasks.datasets.profile import profile
from tasks.datasets.schema import Columns, TaskChoice, choose_columns, infer_schema
from tasks.datasets.source import Source, TypesTooNarrow
from tasks.datasets.splits import Shares
from tasks.datasets.summary import TrainingSummary
from tasks.datasets.ties import Ties
from tasks.datasets.writer import SplitWriter


@dataclass(frozen=True)
class Request:
    """What is wanted of a source; the fields are those of `IngestConfig`."""

    target: str
    task: TaskChoice
    features: Sequence[str]
    exclude: Sequence[str]
    missing: Literal["error", "mean", "drop"]
    split_by: SplitBy
    time_column: str
    shares: Shares
    seed: int
    scaling: Scaling
    terms: Terms | None


@dataclass(frozen=True)
class BuiltDataset:
    """Three files of raw rows, and what is known of them."""

    schema: Schema
    encoding: Encoding
    profile: Profile
    rows: dict[Split, int]
    files: dict[Split, Path]
    warnings: tuple[str, ...]
    """One sentence for each thing that is odd but was not refused."""
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The words of each category, on any side, and those that the contract knew."""
    held: Held | None = None
    """The rows that were put aside for breaking the contract."""
    gaps: dict[str, float] = field(default_factory=dict)
    """Share of the rows in which a column is empty, also of those that were dropped for it."""


def build_dataset(
    source: Path,
    folder: Path,
    *,
    format: Format = "auto",
    target: str = "",
    task: TaskChoice = "auto",
    features: Sequence[str] = (),
    exclude: Sequence[str] = (),
    missing: Literal["error", "mean", "drop"] = "error",
    scaling: Scaling = "standard",
    split_by: SplitBy = "random",
    time_column: str = "",
    validation_share: float = 0.15,
    test_share: float = 0.15,
    seed: int = 0,
    max_bytes: int = 100 * 2**30,
    terms: Terms | None = None,
) -> BuiltDataset:
    """Reads a file or folder and writes `train.parquet`, `validation.parquet` and `test.parquet` into a folder.

    The keywords mean what `IngestConfig` says of them; `seed` fixes the random choices, `terms` are a contract that
    the rows must keep: what breaks it is refused, or written to `quarantine.parquet`. The same source and keywords
    give the same bytes. If anything is refused, the folder stays as it was.

    Raises:
        DataError: naming the file, column or row that cannot be used.
        ConfigError: naming the form's field that does not fit the source.
    """
    shares = Shares(validation_share, test_share)
    request = Request(target, task, features, exclude, missing, split_by, time_column, shares, seed, scaling, terms)
    opened = open_source(source, format, max_bytes)
    try:
        return _build(opened, folder, request)
    except TypesTooNarrow:
        if opened.widen is None:
            raise
        return _build(opened.widen(), folder, request)


def _build(source: Source, folder: Path, request: Request) -> BuiltDataset:
    reserved = reserved_columns(source, request.split_by, request.time_column)
    columns, new = _columns(source, request, reserved)
    with ExitStack() as opened:
        guard = opened.enter_context(_guard(source, request, folder)) if request.terms else None
        source = guard.source if guard else source
        check_types(source, columns)
        sift = guard.sift if guard else None
        assign = assigner(source, request.split_by, reserved, request.shares, seed=request.seed, sift=sift)
        writer = opened.enter_context(SplitWriter(folder, written_schema(source, columns)))
        intake = take_in(source, columns, reserved, assign=assign, missing=request.missing, writer=writer, guard=guard)
        schema = _schema(source, columns, intake, request)
        check_schema(schema, intake.facts)
        check_rows(writer.rows)
        absent = intake.labels.check(schema)
        writer.finish()
        summary = TrainingSummary(schema, writer.rows["train"])
        ties = Ties(schema, spared=intake.leaks.suspects)

        def learn(batch: pa.RecordBatch) -> None:
            summary.update(batch)
            ties.update(batch)

        writer.read("train", learn)
        check_summary(summary)
        odd = oddities(summary, intake.leaks, intake.dropped, columns.left_out)
        built = BuiltDataset(
            schema=schema,
            encoding=fit(summary, request.scaling),
            profile=profile(summary),
            rows=dict(writer.rows),
            files=dict(writer.files),
            warnings=(
                *source.warnings, *_unknown(new), *_put_aside(intake.held), *odd, *ties.warnings(),
                *intake.duplicates.warnings(), *absent,
            ),
            categories=_categories(schema, intake, request),
            held=intake.held,
            gaps={name: facts.missing / intake.rows for name, facts in intake.facts.items() if facts.missing},
        )  # fmt: skip
        writer.keep()
        if guard:
            guard.keep()
    return built


def _columns(source: Source, request: Request, reserved: tuple[str, ...]) -> tuple[Columns, tuple[str, ...]]:
    """Who plays which part, and the columns that a contract does not know."""
    target = request.target
    if request.terms:
        contract = request.terms.contract
        check_form(contract, target=target, task=request.task, features=request.features, exclude=request.exclude)
        check_source(contract, source, reserved)
        target = contract.schema_.target
    found = choose_columns(source, target=target, features=request.features, exclude=request.exclude, reserved=reserved)
    return agreed(request.terms.contract, found) if request.terms else (found, ())


def _guard(source: Source, request: Request, folder: Path) -> Guard:
    assert request.terms is not None
    return Guard(request.terms, source, request.missing, folder)


def _schema(source: Source, columns: Columns, intake: Intake, request: Request) -> Schema:
    if not request.terms:
        return infer_schema(source, columns, intake.facts, task=request.task, nullable=request.missing == "mean")
    contract = request.terms.contract
    rows = f"{source.name} that was kept" if intake.held or intake.dropped else source.name
    check_labels(contract, intake.facts[columns.target], rows)
    return contract.schema_


def _categories(schema: Schema, intake: Intake, request: Request) -> dict[str, tuple[str, ...]]:
    known = request.terms.contract.categories if request.terms else {}
    return {
        feature.name: tuple(sorted({*map(str, intake.facts[feature.name].values or ()), *known.get(feature.name, ())}))
        for feature in schema.features
        if feature.kind == "category"
    }


def _unknown(columns: tuple[str, ...]) -> list[str]:
    named = ", ".join(map(repr, columns))
    return [f"columns {named} are left out: the contract of the champion does not know them"] if columns else []


def _put_aside(held: Held | None) -> list[str]:
    if held is None:
        return []
    broken = ", ".join(f"column {each.column!r} ({each.rule}) in {each.rows}" for each in held.breaks)
    return [f"{held.rows} of {held.read} rows break the contract and are in quarantine: {broken}"]
