"""What is odd but not refused: constant columns, columns of keys, features that give the answer away."""

import numpy as np
import pyarrow as pa

from tasks.datasets.column_types import is_words, numbers
from tasks.datasets.duplicates import distinct
from tasks.datasets.encoding import varies
from tasks.datasets.summary import CategorySummary, NumberSummary, TrainingSummary

UNIQUE_SHARE = 0.95
FEWEST_ROWS = 20


class Leaks:
    """Which features have been equal to the target in every row so far."""

    def __init__(self, features: tuple[str, ...], target: str) -> None:
        """Suspects every feature."""
        self.suspects = list(features)
        self._target = target

    def update(self, batch: pa.RecordBatch) -> None:
        """Clears the features that differ from the target somewhere in this batch."""
        if batch.num_rows and self.suspects:
            target = batch.column(self._target)
            self.suspects = [name for name in self.suspects if _equal(batch.column(name), target)]


def oddities(summary: TrainingSummary, leaks: Leaks, dropped: int, left_out: tuple[str, ...]) -> tuple[str, ...]:
    """One sentence for each oddity."""
    found = [f"rows with missing cells were dropped: {dropped}"] if dropped else []
    if left_out:
        found.append(f"columns {', '.join(map(repr, left_out))} are left out: a text stands alone")
    found += [f"feature {name!r} equals the target in every row: a label leak" for name in leaks.suspects]
    for feature, one in zip(summary.schema.features, summary.features, strict=True):
        if _is_constant(one):
            found.append(f"column {feature.name!r} is constant in the training split")
        elif _is_key(one):
            found.append(f"column {feature.name!r} is different in {_rows(one)}: is it a key? exclude it")
    return tuple(found)


def _is_constant(summary: object) -> bool:
    if isinstance(summary, CategorySummary):
        return len(summary.counts) == 1
    return isinstance(summary, NumberSummary) and not varies(summary.mean, summary.std)


def _is_key(summary: object) -> bool:
    if isinstance(summary, CategorySummary):
        return _almost_unique(len(summary.counts), sum(summary.counts.values()), UNIQUE_SHARE)
    if isinstance(summary, NumberSummary):
        sample, share = summary.sample, 1.0 if summary.stride > 1 else UNIQUE_SHARE
        return bool((sample == np.trunc(sample)).all()) and _almost_unique(distinct(sample), len(sample), share)
    return False


def _almost_unique(distinct: int, rows: int, share: float) -> bool:
    return rows >= FEWEST_ROWS and distinct >= share * rows


def _rows(summary: object) -> str:
    if isinstance(summary, NumberSummary) and summary.stride > 1:  # what is rare in a sample may be usual in all rows
        return f"every row of a sample of {len(summary.sample)}"
    return "almost every row"


def _equal(feature: pa.Array, target: pa.Array) -> bool:
    if is_words(feature.type) or is_words(target.type):
        return bool(is_words(feature.type) and is_words(target.type) and feature.equals(target))
    if pa.types.is_fixed_size_binary(feature.type):
        return False
    # A glance at the first rows clears most features; only twins are compared whole.
    return _same(feature.slice(0, 64), target.slice(0, 64)) and _same(feature, target)


def _same(a: pa.Array, b: pa.Array) -> bool:
    return bool(np.array_equal(numbers(a), numbers(b), equal_nan=True))
