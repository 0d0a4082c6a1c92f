"""Two samples as bars side by side."""

import numpy as np

from tasks.contracts.drift import Histogram
from tasks.runtime.drift.distance import table

BARS = 24
MOST_VALUES = 12
LONGEST_VALUE = 40
REST = "(others)"


def of_numbers(before: np.ndarray, now: np.ndarray) -> Histogram:
    """Bars of one width over what both hold, but for the outermost hundredths; these go into the outer bars."""
    both = [sample for sample in (before, now) if len(sample)]
    if not both:
        return Histogram()
    low = min(float(np.quantile(sample, 0.01, method="inverted_cdf")) for sample in both)
    high = max(float(np.quantile(sample, 0.99, method="inverted_cdf")) for sample in both)
    if not high > low or not np.isfinite(high - low):
        return Histogram()
    edges = np.linspace(low, high, BARS + 1)
    shares = [_shares(np.histogram(np.clip(sample, low, high), edges)[0]) for sample in (before, now)]
    return Histogram(edges=tuple(edges.tolist()), before=shares[0], now=shares[1])


def of_categories(before: np.ndarray, now: np.ndarray) -> Histogram:
    """The most frequent values of both, and the others as one."""
    if not len(before) or not len(now):
        return Histogram()
    values, counts = table(before, now)
    order = np.argsort(-(counts / counts.sum(axis=1, keepdims=True)).sum(axis=0), kind="stable")
    kept, others = order[:MOST_VALUES], order[MOST_VALUES:]
    names = [str(value)[:LONGEST_VALUE] for value in values[kept]]
    bars = counts[:, kept]
    if len(others):
        names.append(REST)
        bars = np.column_stack([bars, counts[:, others].sum(axis=1)])
    return Histogram(values=tuple(names), before=_shares(bars[0]), now=_shares(bars[1]))


def _shares(counts: np.ndarray) -> tuple[float, ...]:
    return tuple((counts / max(int(counts.sum()), 1)).tolist())
