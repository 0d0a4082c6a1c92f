"""The Pareto front: what nothing else beats."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tasks.contracts.verdict import Measurement


def front(costs: ArrayLike) -> NDArray[np.bool_]:
    """Whether each point is on the front: no other is at least as good in all and better in one.

    Args:
        costs: (N, K); less is better. Equal points are on it together; one with a NaN is not.

    >>> front([[1, 9], [5, 5], [9, 1], [6, 6]]).tolist()
    [True, True, True, False]
    """
    points = np.asarray(costs, dtype=np.float64)
    as_good = np.all(points[None] <= points[:, None], axis=2)
    better = np.any(points[None] < points[:, None], axis=2)
    return np.asarray(~(as_good & better).any(axis=1) & ~np.isnan(points).any(axis=1), dtype=np.bool_)


def loss(metric_name: Literal["accuracy", "rmse"], metric: float) -> float:
    """The metric so that less is better."""
    return -metric if metric_name == "accuracy" else metric


def with_front(
    measurements: Sequence[Measurement], metric_name: Literal["accuracy", "rmse"]
) -> tuple[Measurement, ...]:
    """The measurements, `on_front` set by metric, bytes on disk, bytes compressed and p50."""
    costs = [(loss(metric_name, m.metric), m.size_bytes, m.compressed_bytes, m.p50_ms) for m in measurements]
    return tuple(m.model_copy(update={"on_front": bool(on)}) for m, on in zip(measurements, front(costs), strict=True))
