"""From a source to three files of raw rows, and everything that is known of them.

One pass reads, checks, assigns and writes; a second one, over the training rows alone, fits encoding and profile.
Memory is bounded by a batch and its row groups, whatever the size of the source (split_by=time keeps one number a row).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tasks.contracts.artifacts import Profile, Split
from tasks.contracts.schema import Encoding, Schema
from tasks.datasets.assignment import SplitBy, assigner, reserved_columns
from tasks.datasets.checks import check_rows, check_schema, check_summary, check_types
from tasks.datasets.encoding import Scaling, fit
from tasks.datasets.formats import Format, open_source
from tasks.datasets.intake import take_in, written_schema
from tasks.datasets.oddities import oddities
from tasks.datasets.profile import profile
from tasks.datasets.schema import TaskChoice, choose_columns, infer_schema
from tasks.datasets.source import Source, TypesTooNarrow
from tasks.datasets.splits import Shares
from tasks.datasets.summary import TrainingSummary
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
) -> BuiltDataset:
    """Reads a file or folder and writes `train.parquet`, `validation.parquet` and `test.parquet` into a folder.

    The keywords mean what `IngestConfig` says of them; `seed` fixes the random choices. The same source and keywords
    give the same bytes. If anything is refused, the folder stays as it was.

    Raises:
        DataError: naming the file, column or row that cannot be used.
        ConfigError: naming the form's field that does not fit the source.
    """
    shares = Shares(validation_share, test_share)
    request = Request(target, task, features, exclude, missing, split_by, time_column, shares, seed, scaling)
    opened = open_source(source, format, max_bytes)
    try:
        return _build(opened, folder, request)
    except TypesTooNarrow:
        if opened.widen is None:
            raise
        return _build(opened.widen(), folder, request)


def _build(source: Source, folder: Path, request: Request) -> BuiltDataset:
    reserved = reserved_columns(source, request.split_by, request.time_column)
    columns = choose_columns(
        source, target=request.target, features=request.features, exclude=request.exclude, reserved=reserved
    )
    check_types(source, columns)
    assign = assigner(source, request.split_by, reserved, request.shares, request.seed)
    with SplitWriter(folder, written_schema(source, columns)) as writer:
        intake = take_in(source, columns, reserved, assign=assign, missing=request.missing, writer=writer)
        schema = infer_schema(source, columns, intake.facts, task=request.task, nullable=request.missing == "mean")
        check_schema(schema, intake.facts)
        check_rows(writer.rows)
        absent = intake.labels.check(schema)
        writer.finish()
        summary = TrainingSummary(schema, writer.rows["train"])
        writer.read("train", summary.update)
        check_summary(summary)
        odd = oddities(summary, intake.facts, intake.leaks, intake.dropped, columns.left_out)
        built = BuiltDataset(
            schema=schema,
            encoding=fit(summary, request.scaling),
            profile=profile(summary),
            rows=dict(writer.rows),
            files=dict(writer.files),
            warnings=(*source.warnings, *odd, *intake.duplicates.warnings(), *absent),
        )
        writer.keep()
    return built
