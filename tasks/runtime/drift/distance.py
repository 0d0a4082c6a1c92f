"""Distances of two samples, each with the chance of one as large where nothing changed."""

from collections import Counter
from typing import NamedTuple

import numpy as np

BINS = 10
LEAST_EXPECTED = 5
"""A value that is expected more rarely in either sample is counted together with others like it (Cochran, 1954)."""


class Distance(NamedTuple):
    """How far apart two samples are."""

    statistic: float
    psi: float
    p_value: float
    noise: float = 0.0
    """The PSI that two samples of the same make on average, (bins - 1) (1/n + 1/m) (Yurdakul, 2018)."""


NONE = Distance(0.0, 0.0, 1.0)


def of_numbers(before: np.ndarray, now: np.ndarray) -> Distance:
    """Kolmogorov-Smirnov, and PSI over tenths of the reference; no missing values, any order.

    Ties make the test keep more silent than it must, never less.
    """
    if not len(before) or not len(now):
        return NONE
    from scipy import stats

    # The exact test takes minutes for many rows; the limit distribution knows no row against a row.
    found = stats.ks_2samp(before, now, method="asymp" if len(before) + len(now) > 2 else "exact")
    edges = inner_edges(before)
    size = len(edges) + 1
    counts = [np.bincount(np.searchsorted(edges, sample), minlength=size) for sample in (before, now)]
    return Distance(float(found.statistic), psi(*counts), float(found.pvalue), _noise(np.array(counts)))


def of_categories(before: np.ndarray, now: np.ndarray) -> Distance:
    """Chi-square on the table of values, Cramer's V and PSI over its columns; rare values count as one."""
    _, counts = table(before, now)
    return _of_table(pooled(counts))


def of_shares(hits_before: int, before: int, hits_now: int, now: int) -> float:
    """The chance of a difference of two shares at least as large: Fisher's exact test, two-sided."""
    from scipy import stats

    if not before or not now:
        return 1.0
    return float(stats.fisher_exact([[hits_before, before - hits_before], [hits_now, now - hits_now]]).pvalue)


def psi(before: np.ndarray, now: np.ndarray) -> float:
    """Population stability index of two counts over the same bins; half a row more in each keeps logarithms finite.

    >>> psi(np.array([50, 50]), np.array([50, 50]))
    0.0
    """
    p = (before + 0.5) / (before.sum() + 0.5 * len(before))
    q = (now + 0.5) / (now.sum() + 0.5 * len(now))
    return float(((q - p) * np.log(q / p)).sum())


def inner_edges(reference: np.ndarray) -> np.ndarray:
    """Where tenths of the reference end: values that it holds, so that no change of scale moves a row.

    A bin ends with its edge. What is all one value gets a bin for itself, and one for whatever is below.

    >>> inner_edges(np.arange(1.0, 11.0)).tolist(), inner_edges(np.ones(5)).tolist()
    ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], [0.9999999999999999, 1.0])
    """
    ordered = np.sort(reference)
    edges = np.unique(ordered[[-(-tenth * len(ordered) // BINS) - 1 for tenth in range(1, BINS)]])
    if len(edges) == 1 and edges[0] == ordered[0]:
        return np.array([np.nextafter(edges[0], -np.inf), edges[0]])
    return edges


def table(before: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values, and how often each occurs: int64 (2, K)."""
    counted = [Counter(sample.tolist()) for sample in (before, now)]
    values = sorted(counted[0].keys() | counted[1].keys())
    counts = np.array([[one[value] for value in values] for one in counted], dtype=np.int64)
    return np.array(values, dtype=object), counts


def pooled(counts: np.ndarray) -> np.ndarray:
    """The table with its rare columns added up into one, which joins the rarest other if it is rare itself."""
    rows = counts.sum(axis=1)
    if not rows.all():
        return counts[:, :0]
    share = rows.min() / rows.sum()
    rare = counts.sum(axis=0) * share < LEAST_EXPECTED
    kept = counts[:, ~rare]
    if not rare.any():
        return kept
    rest = counts[:, rare].sum(axis=1)
    if rest.sum() * share >= LEAST_EXPECTED or not kept.shape[1]:
        return np.column_stack([kept, rest])
    rarest = int(kept.sum(axis=0).argmin())
    kept[:, rarest] += rest
    return kept


def _of_table(counts: np.ndarray) -> Distance:
    if counts.shape[1] < 2:
        return NONE
    from scipy import stats

    found = stats.chi2_contingency(counts, correction=False)
    return Distance(float(np.sqrt(found.statistic / counts.sum())), psi(*counts), float(found.pvalue), _noise(counts))


def _noise(counts: np.ndarray) -> float:
    return float((counts.shape[1] - 1) * (1 / counts.sum(axis=1)).sum())
