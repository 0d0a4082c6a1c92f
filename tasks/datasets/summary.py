"""The training split in figures, gathered in one pass: what encoding and profile are made from.

Means and squares are merged batch by batch (Chan, Golub, LeVeque 1983), which keeps the digits that plain sums lose.
"""

from collections import Counter
from math import ceil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.contracts.schema import Feature, Schema
from tasks.datasets.column_types import numbers
from tasks.datasets.labels import as_label
from tasks.datasets.preprocessing import tokens
from tasks.datasets.reader import raw_values

SAMPLE_ROWS = 1 << 18
"""Quantiles and distinct values are those of at most so many rows, evenly spaced."""
SAMPLE_VALUES = 1 << 24
"""Sampled values of all columns together: 128 MiB."""
MOST_WORDS = 500_000
"""Distinct words in memory; beyond twice that, the rarer half is forgotten."""


class NumberSummary:
    """Mean, spread and a sample of one series of numbers; NaN counts as missing."""

    def __init__(self, stride: int = 1) -> None:
        """Starts empty; every `stride`-th value goes into the sample."""
        self.count = 0
        self.missing = 0
        self.mean = 0.0
        self._squares = 0.0
        self._seen = 0
        self.stride = stride
        self._sample: list[np.ndarray] = []

    def update(self, values: np.ndarray) -> None:
        """Adds a batch (N,) float64."""
        spaced = values[-self._seen % self.stride :: self.stride]
        self._seen += len(values)
        self._sample.append(spaced[~np.isnan(spaced)])
        present = values if not np.isnan(values).any() else values[~np.isnan(values)]
        self.missing += len(values) - len(present)
        if not len(present):
            return
        mean = float(present.mean())
        shift, total = mean - self.mean, self.count + len(present)
        self._squares += float(np.square(present - mean).sum()) + shift**2 * self.count * len(present) / total
        self.mean += shift * len(present) / total
        self.count = total

    @property
    def std(self) -> float:
        """The standard deviation over all values (not the estimate for a larger population)."""
        return float(np.sqrt(self._squares / self.count)) if self.count else 0.0

    @property
    def sample(self) -> np.ndarray:
        """The sampled values, float64, in row order."""
        return np.concatenate(self._sample) if self._sample else np.zeros(0)


class CategorySummary:
    """How often each word occurs; the empty string is a missing one."""

    def __init__(self) -> None:
        """Starts empty."""
        self.counts: Counter[str] = Counter()

    def update(self, column: pa.Array) -> None:
        """Adds a batch of raw cells."""
        counted = pc.value_counts(column)
        for value, count in zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True):
            self.counts["" if value is None else str(as_label(value))] += count


class TextSummary:
    """How often each word occurs, and how many words the texts have."""

    def __init__(self, stride: int = 1) -> None:
        """Starts empty; every `stride`-th length goes into the sample."""
        self.words: Counter[str] = Counter()
        self.lengths = NumberSummary(stride)

    def update(self, texts: np.ndarray) -> None:
        """Adds a batch (N,) of str."""
        split = tokens(texts)
        self.lengths.update(np.asarray([len(words) for words in split], dtype=np.float64))
        for words in split:
            self.words.update(words)
        if len(self.words) > 2 * MOST_WORDS:
            ranked = sorted(self.words.items(), key=lambda counted: (-counted[1], counted[0]))
            self.words = Counter(dict(ranked[:MOST_WORDS]))


class ImageSummary:
    """How often each of the 256 levels occurs in each channel, and how bright the images are."""

    def __init__(self, shape: tuple[int, ...], stride: int = 1) -> None:
        """Starts empty for images of this shape; every `stride`-th brightness goes into the sample."""
        self.levels = np.zeros((shape[2] if len(shape) == 3 else 1, 256), dtype=np.int64)
        self.brightness = NumberSummary(stride)

    def update(self, images: np.ndarray) -> None:
        """Adds a batch uint8 (N, H, W) or (N, H, W, C)."""
        channels = images.reshape(len(images), -1, len(self.levels))
        for channel in range(len(self.levels)):
            self.levels[channel] += np.bincount(channels[:, :, channel].reshape(-1), minlength=256)
        self.brightness.update(channels.mean(axis=(1, 2), dtype=np.float64))


Summary = NumberSummary | CategorySummary | TextSummary | ImageSummary


class TrainingSummary:
    """A summary for each feature, in the schema's order, and one for the target."""

    def __init__(self, schema: Schema, rows: int) -> None:
        """Starts empty; `rows` is how many will come."""
        self.schema = schema
        sampled = min(SAMPLE_ROWS, SAMPLE_VALUES // (len(schema.features) + 1))
        stride = max(1, ceil(rows / sampled))
        self.features: tuple[Summary, ...] = tuple(_empty(feature, stride) for feature in schema.features)
        self.target: NumberSummary | CategorySummary = (
            NumberSummary(stride) if schema.task == "regression" else CategorySummary()
        )

    def update(self, batch: pa.RecordBatch) -> None:
        """Adds a batch of raw training rows."""
        for feature, summary in zip(self.schema.features, self.features, strict=True):
            _update(summary, feature, batch.column(feature.name))
        target = batch.column(self.schema.target)
        if isinstance(self.target, NumberSummary):
            self.target.update(numbers(target))
        else:
            self.target.update(target)


def _empty(feature: Feature, stride: int) -> Summary:
    match feature.kind:
        case "number":
            return NumberSummary(stride)
        case "category":
            return CategorySummary()
        case "text":
            return TextSummary(stride)
        case "image":
            return ImageSummary(feature.shape, stride)


def _update(summary: Summary, feature: Feature, column: pa.Array) -> None:
    match summary:
        case NumberSummary():
            summary.update(numbers(column))
        case CategorySummary():
            summary.update(column)
        case TextSummary() | ImageSummary():
            summary.update(raw_values(column, feature))
