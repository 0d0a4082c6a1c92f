"""What the training split looked like: for the data report and the contract.

Above 262,144 training rows (fewer in wide tables) the histogram of a number is that of a sample, evenly spaced.
"""

import numpy as np

from tasks.contracts.dataset import ColumnProfile, Profile
from tasks.datasets.duplicates import distinct
from tasks.datasets.summary import (
    CategorySummary,
    ImageSummary,
    NumberSummary,
    Summary,
    TextSummary,
    TrainingSummary,
)

BINS = 10
MOST_VALUES = 50


def profile(summary: TrainingSummary) -> Profile:
    """One entry a feature, in order, and the target last.

    A text is described by its number of words, an image by its mean brightness (0 to 255).
    """
    names = [feature.name for feature in summary.schema.features]
    columns = [_column(name, one) for name, one in zip(names, summary.features, strict=True)]
    return Profile(columns=(*columns, _column(summary.schema.target, summary.target)))


def _column(name: str, summary: Summary) -> ColumnProfile:
    match summary:
        case NumberSummary():
            return _numbers(name, summary)
        case CategorySummary():
            return _categories(name, summary)
        case TextSummary():
            return _numbers(name, summary.lengths)
        case ImageSummary():
            return _numbers(name, summary.brightness)


def _numbers(name: str, summary: NumberSummary) -> ColumnProfile:
    sample = summary.sample
    edges = np.unique(np.quantile(sample, np.linspace(0, 1, BINS + 1)))
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
        counts = np.array([len(sample)])
    else:
        counts, _ = np.histogram(sample, edges)
    return ColumnProfile(
        name=name,
        missing=summary.missing,
        distinct=distinct(sample),
        mean=summary.mean,
        std=summary.std,
        edges=tuple(float(edge) for edge in edges),
        counts=tuple(int(count) for count in counts),
    )


def _categories(name: str, summary: CategorySummary) -> ColumnProfile:
    present = {value: count for value, count in summary.counts.items() if value}
    ranked = sorted(present.items(), key=lambda counted: (-counted[1], counted[0]))[:MOST_VALUES]
    return ColumnProfile(
        name=name,
        missing=summary.counts.get("", 0),
        distinct=len(present),
        values=tuple(value for value, _ in ranked),
        counts=tuple(count for _, count in ranked),
    )
