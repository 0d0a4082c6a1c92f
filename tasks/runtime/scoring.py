"""From a session and raw rows to a score: the same way for every candidate, the champion and the golden batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.runtime import metrics

Outputs = Mapping[str, np.ndarray]
_LEAST_RMSE = 1e-12
"""What a gain is a per cent of, at least: beside answers without any error every other is finitely worse."""


@dataclass(frozen=True)
class Score:
    """The main metric with its 95 % interval: accuracy (0 to 1), or RMSE in the target's unit."""

    metric_name: Literal["accuracy", "rmse"]
    value: float
    low: float
    high: float


def correct(outputs: Outputs, target: np.ndarray, labels: Sequence[int] | Sequence[str]) -> NDArray[np.bool_]:
    """Whether each row's label is right.

    Args:
        outputs: Answers with a `label`.
        target: Class indices.
        labels: The classes, in the order of the indices.
    """
    truth = np.asarray(labels, dtype=object)[target]
    return np.asarray(outputs["label"].astype(object) == truth, dtype=np.bool_)


def score(outputs: Outputs, target: np.ndarray, labels: Sequence[int] | Sequence[str]) -> Score:
    """Accuracy where there are classes, RMSE where there are none."""
    if labels:
        right = correct(outputs, target, labels)
        return Score("accuracy", float(right.mean()), *metrics.bootstrap_interval(right))
    value = metrics.rmse(target, outputs["value"])
    return Score("rmse", value, *metrics.rmse_interval(target, outputs["value"]))


def gain(
    challenger: Outputs, champion: Outputs, target: np.ndarray, labels: Sequence[int] | Sequence[str]
) -> tuple[float, metrics.Interval]:
    """How much better the challenger is on the same rows, with a paired 95 % interval.

    In percentage points of accuracy, or in per cent of the champion's RMSE; above zero is better.
    """
    if labels:
        right, before = correct(challenger, target, labels), correct(champion, target, labels)
        low, high = metrics.paired_difference_interval(right, before)
        return 100 * float(right.mean() - before.mean()), metrics.Interval(100 * low, 100 * high)
    errors = metrics.squared_errors(target, challenger["value"])
    errors_before = metrics.squared_errors(target, champion["value"])
    unit = 100 / max(float(np.sqrt(errors_before.mean())), _LEAST_RMSE)
    low, high = metrics.paired_rmse_interval(errors, errors_before)
    fewer = float(np.sqrt(errors_before.mean()) - np.sqrt(errors.mean()))
    return fewer * unit, metrics.Interval(-high * unit, -low * unit)


def drop(
    candidate: Outputs, reference: Outputs, target: np.ndarray, labels: Sequence[int] | Sequence[str]
) -> tuple[float, metrics.Interval]:
    """How much worse the candidate is on the same rows, with a paired 95 % interval: a gain seen from behind.

    In percentage points of accuracy, or in per cent of the reference's RMSE; above zero is worse.
    """
    more, (low, high) = gain(candidate, reference, target, labels)
    return 0.0 - more, metrics.Interval(0.0 - high, 0.0 - low)
