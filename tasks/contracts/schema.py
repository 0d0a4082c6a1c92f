"""What a dataset holds: its schema, and the encoding fitted on its training split.

A `Schema` says what a row looks like to the outside; an `Encoding` says how a row becomes the tensor a network sees.
Both are found at ingest and travel with the dataset; `datasets.preprocessing` turns them into ONNX nodes, the only
implementation of preprocessing there is.
"""

from typing import Literal

from tasks.contracts.record import Record

FeatureKind = Literal["number", "category", "image", "text"]
TaskKind = Literal["classification", "regression"]


class Feature(Record):
    """One raw input of a row."""

    name: str
    kind: FeatureKind
    shape: tuple[int, ...] = ()
    """For images (H, W) or (H, W, C), uint8; empty for everything else."""
    nullable: bool = False
    """Whether a missing value is filled (number: the training mean; category: its own class) or refused."""


class Schema(Record):
    """The columns of a dataset: raw features in their order, and the target.

    Either any number of `number` and `category` features, or exactly one `image` or one `text` feature.
    """

    task: TaskKind
    features: tuple[Feature, ...]
    target: str
    labels: tuple[int, ...] | tuple[str, ...] = ()
    """The classes in the order of the probabilities; empty for regression."""

    @property
    def kind(self) -> Literal["tabular", "images", "text"]:
        """Which modality the rows have."""
        kinds: dict[FeatureKind, Literal["images", "text"]] = {"image": "images", "text": "text"}
        return kinds.get(self.features[0].kind, "tabular")


class NumberEncoding(Record):
    """`(x - mean) / scale`, with a missing x taken as the mean."""

    mean: float
    scale: float


class CategoryEncoding(Record):
    """One-hot over the known values; an unknown value is all zeros, a missing one is ''."""

    values: tuple[str, ...]


class ImageEncoding(Record):
    """`(x / 255 - mean) / scale` per channel, laid out as (N, C, H, W)."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]


class TextEncoding(Record):
    """Lower case, split at blanks; 0 pads, 1 is unknown, the words count from 2; cut or padded to `length`."""

    words: tuple[str, ...]
    length: int


class Encoding(Record):
    """How rows become tensors: one entry for each feature, in the schema's order."""

    features: tuple[NumberEncoding | CategoryEncoding | ImageEncoding | TextEncoding, ...]
    target: NumberEncoding | None = None
    """Regression only: networks are trained on the standardised target."""
