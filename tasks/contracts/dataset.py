"""The records of data: where they lie, what they looked like, and which rows were put aside."""

from typing import Literal

from tasks.contracts.artifacts import Artifact
from tasks.contracts.record import Record
from tasks.contracts.schema import Encoding, Schema


class ColumnProfile(Record):
    """What one column looked like in training."""

    name: str
    missing: int = 0
    distinct: int = 0
    mean: float | None = None
    std: float | None = None
    edges: tuple[float, ...] = ()
    """Numbers: the bin edges, at quantiles of the training split."""
    counts: tuple[int, ...] = ()
    """Rows in each bin, or of each value of `values`."""
    values: tuple[str, ...] = ()
    """Categories: the most frequent values."""


class Profile(Record):
    """The training split in figures: one entry a feature, and the target last."""

    columns: tuple[ColumnProfile, ...]


Split = Literal["train", "validation", "test"]


class Dataset(Record):
    """A content-addressed dataset: three splits of raw rows as Parquet, and what is known of them."""

    uri: str
    """`s3://bucket/datasets/<digest>/dataset.json`, which holds a `DatasetManifest`."""
    sha256: str
    """The digest that names the data."""
    task: Literal["classification", "regression"]
    kind: Literal["tabular", "images", "text"]
    rows: dict[Split, int]


Rule = Literal["number", "empty", "finite", "category", "label"]
"""What a cell can break; a row is counted under the first one, columns in the order of the schema."""


class Break(Record):
    """One rule that rows of a column broke."""

    column: str
    rule: Rule
    rows: int
    first: str
    """Where the first one stands: `row 17 of data.csv`."""


class Quarantine(Record):
    """The rows that were left out because they break the contract."""

    file: Artifact
    """Parquet with `file`, `row`, `column`, `rule`, `value`, and the row's `cells` as a JSON object of texts."""
    rows: int
    read: int
    """All rows of the source."""
    breaks: tuple[Break, ...]


class DatasetManifest(Record):
    """What lies at a dataset's uri. Its digest is the dataset's name; it is written last."""

    schema_: Schema
    encoding: Encoding
    profile: Profile
    splits: dict[Split, Artifact]
    rows: dict[Split, int]
    warnings: tuple[str, ...] = ()
    """What was found odd but not refused: duplicates, constant columns, rows shared between splits."""
    categories: dict[str, tuple[str, ...]] = {}
    """The words of each category on any side, and those that the contract knew; empty in older manifests."""
    quarantine: Quarantine | None = None
    """The rows that were left out because they break the contract of the champion."""
    gaps: dict[str, float] = {}
    """Share of the rows in which a column is empty, also of those that were dropped for it; {} in older manifests."""
