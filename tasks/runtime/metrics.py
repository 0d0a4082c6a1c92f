"""How good answers are, and how sure that is.

Plain numpy. Intervals are percentile bootstraps (Efron and Tibshirani 1993, chapter 13) of 95 %, seeded. Rows that
take few values, like right and wrong, are resampled by their counts: the same distribution as drawing row by row,
at a cost that does not grow with the rows.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

_RESAMPLES = 1000
_TAILS = (2.5, 97.5)
_MOST_GROUPS = 10_000
_DRAWS_AT_ONCE = 500_000  # bounds memory to some 8 MB an array


class Interval(NamedTuple):
    """The ends of a 95 % interval."""

    low: float
    high: float


def accuracy(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Share of rows whose label is right.

    >>> accuracy([1, 2, 3, 4], [1, 2, 3, 0])
    0.75
    """
    return float(np.mean(np.asarray(truth) == np.asarray(predicted)))


def rmse(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Root of the mean squared error, in the target's unit."""
    return float(np.sqrt(np.mean(squared_errors(truth, predicted))))


def mae(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute error, in the target's unit."""
    return float(np.mean(np.abs(_floats(truth) - _floats(predicted))))


def r2(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Share of the target's variance that is explained; 0 for a constant target that was missed, 1 if it was met."""
    true = _floats(truth)
    unexplained = float(np.sum(squared_errors(truth, predicted)))
    total = float(np.sum((true - true.mean()) ** 2))
    if total == 0.0:
        return float(unexplained == 0.0)
    return 1.0 - unexplained / total


def confusion(truth: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Counts of shape (classes, classes): row by true class index, column by predicted one."""
    pairs = np.asarray(truth, dtype=np.int64) * classes + np.asarray(predicted, dtype=np.int64)
    return np.bincount(pairs, minlength=classes * classes).astype(np.int64).reshape(classes, classes)


def macro_f1(truth: ArrayLike, predicted: ArrayLike, classes: int) -> float:
    """Mean of the classes' F1 scores; classes that neither occur nor are predicted do not count."""
    counts = confusion(truth, predicted, classes)
    hits = np.diag(counts)
    seen = counts.sum(axis=0) + counts.sum(axis=1)
    return float(np.mean(2 * hits[seen > 0] / seen[seen > 0]))


def squared_errors(truth: ArrayLike, predicted: ArrayLike) -> NDArray[np.float64]:
    """One squared error a row."""
    errors: NDArray[np.float64] = (_floats(truth) - _floats(predicted)) ** 2
    return errors


def bootstrap_interval(values: ArrayLike, *, seed: int = 0, resamples: int = _RESAMPLES) -> Interval:
    """Of the mean over rows.

    Args:
        values: One value a row: booleans or few whole numbers (fast), or any numbers.
        seed: Makes it repeatable.
        resamples: How many data sets are drawn.
    """
    return _ends(_means_of_resamples(np.asarray(values)[:, None], seed, resamples)[:, 0])


def accuracy_interval(truth: ArrayLike, predicted: ArrayLike, *, seed: int = 0) -> Interval:
    """Of the accuracy."""
    return bootstrap_interval(np.asarray(truth) == np.asarray(predicted), seed=seed)


def rmse_interval(truth: ArrayLike, predicted: ArrayLike, *, seed: int = 0) -> Interval:
    """Of the RMSE: the root keeps order, so it may be taken of the ends."""
    low, high = bootstrap_interval(squared_errors(truth, predicted), seed=seed)
    return Interval(low**0.5, high**0.5)


def paired_difference_interval(a_correct: ArrayLike, b_correct: ArrayLike, *, seed: int = 0) -> Interval:
    """Of accuracy of a minus accuracy of b, both on the same rows.

    Rows on which both are right or both wrong say nothing, so this is far tighter than two intervals apart.

    Args:
        a_correct: Whether a was right, one a row.
        b_correct: The same of b, in the same order.
        seed: Makes it repeatable.
    """
    difference = np.asarray(a_correct).astype(np.int64) - np.asarray(b_correct).astype(np.int64)
    return bootstrap_interval(difference, seed=seed)


def paired_rmse_interval(a_squared_errors: ArrayLike, b_squared_errors: ArrayLike, *, seed: int = 0) -> Interval:
    """Of RMSE of a minus RMSE of b, both on the same rows.

    Args:
        a_squared_errors: Of `squared_errors`, one a row.
        b_squared_errors: The same of b, in the same order.
        seed: Makes it repeatable.
    """
    both = np.stack([_floats(a_squared_errors), _floats(b_squared_errors)], axis=1)
    roots = np.sqrt(_means_of_resamples(both, seed, _RESAMPLES))
    return _ends(roots[:, 0] - roots[:, 1])


def _means_of_resamples(values: np.ndarray, seed: int, resamples: int) -> NDArray[np.float64]:
    """Column means of `resamples` drawings with replacement from the rows of (N, K) values: (resamples, K)."""
    random = np.random.default_rng(seed)
    rows = len(values)
    if values.dtype.kind in "bi" and values.shape[1] == 1:
        distinct, counts = np.unique(values[:, 0], return_counts=True)
        drawn = random.multinomial(rows, counts / rows, size=resamples)
        return np.asarray(drawn @ distinct.astype(np.float64) / rows)[:, None]
    centre = values.mean(axis=0)
    sums = _random_groups(values - centre, random)
    at_once = max(1, _DRAWS_AT_ONCE // len(sums))
    means = []
    for start in range(0, resamples, at_once):
        drawn = random.integers(0, len(sums), size=(min(at_once, resamples - start), len(sums)), dtype=np.int32)
        means.append(np.stack([column[drawn].sum(axis=1) for column in sums.T.copy()], axis=1) / rows)
    return np.asarray(centre + np.concatenate(means), dtype=np.float64)


def _random_groups(centred: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Sums over at most 10,000 random groups of rows.

    Resampling groups instead of rows leaves the variance of the mean as it is (rows are independent and centred),
    and stops the cost from growing with the rows.
    """
    rows = len(centred)
    if rows <= _MOST_GROUPS:
        return centred
    starts = np.linspace(0, rows, _MOST_GROUPS, endpoint=False).astype(np.int64)
    return np.asarray(np.add.reduceat(random.permutation(centred), starts, axis=0), dtype=np.float64)


def _ends(statistics: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(statistics, _TAILS)
    return Interval(float(low), float(high))


def _floats(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)
