import numpy as np
import pytest
from sklearn.metrics import accuracy_score, root_mean_squared_error

from tasks.runtime.scoring import gain, score

LABELS = ("cat", "dog", "eel")


def labelled(rng: np.random.Generator, target: np.ndarray, error: float) -> dict[str, np.ndarray]:
    wrong = rng.random(len(target)) < error
    return {"label": np.array(LABELS, dtype=object)[np.where(wrong, (target + 1) % 3, target)]}


def test_accuracy_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 3, 500)
    outputs = labelled(rng, target, 0.2)
    found = score(outputs, target, LABELS)
    assert found.metric_name == "accuracy"
    assert found.value == accuracy_score(np.array(LABELS)[target], outputs["label"].astype(str))
    assert found.low < found.value < found.high


def test_rmse_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    target = rng.normal(size=500)
    outputs = {"value": (target + rng.normal(size=500)).astype(np.float32)}
    found = score(outputs, target, ())
    assert found.metric_name == "rmse" and found.low < found.value < found.high
    assert found.value == pytest.approx(root_mean_squared_error(target, outputs["value"]))


def test_a_clear_gain_has_an_interval_above_zero():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 3, 2000)
    better, (low, high) = gain(labelled(rng, target, 0.05), labelled(rng, target, 0.15), target, LABELS)
    assert 0 < low < better < high and better == pytest.approx(10, abs=3)


def test_the_same_answers_gain_nothing():
    target = np.arange(6) % 3
    same = {"label": np.array(LABELS, dtype=object)[target]}
    assert gain(same, same, target, LABELS) == (0.0, (0.0, 0.0))


def test_a_lower_rmse_is_a_gain():
    rng = np.random.default_rng(0)
    target = rng.normal(size=2000)
    ours, theirs = target + rng.normal(size=2000), target + 2 * rng.normal(size=2000)
    better, (low, high) = gain({"value": ours}, {"value": theirs}, target, ())
    assert low < better < high and better == pytest.approx(50, abs=4)
