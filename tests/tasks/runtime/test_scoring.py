import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import accuracy_score, root_mean_squared_error

from tasks.runtime.scoring import drop, gain, score

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


def answering(right: np.ndarray) -> dict[str, np.ndarray]:
    """Labels to rows whose class is 1."""
    return {"label": right.astype(np.int64)}


@given(st.integers(0, 40), st.integers(0, 40))
def test_a_loss_is_told_from_noise_where_mcnemars_exact_test_tells_it(lost, won):
    rows = np.arange(400)
    dense, small = rows >= won, (rows < won) | (rows >= won + lost)
    found, interval = drop(answering(small), answering(dense), np.ones(400, dtype=np.int64), (0, 1))
    assert found == pytest.approx(100 * (lost - won) / 400)
    p = stats.binomtest(lost, lost + won).pvalue if lost + won else 1.0
    if lost > won and p < 0.04:  # at the border the bootstrap's own noise decides
        assert interval.low > 0
    if lost <= won or p > 0.15:  # the exact test is the stricter one: 5 rows to none are 0.06 there
        assert interval.low <= 0


def test_a_drop_of_rmse_is_a_per_cent_of_the_reference_and_zero_against_itself():
    truth = np.random.default_rng(0).normal(size=300)
    dense, small = {"value": truth + 1.0}, {"value": truth + 1.1}
    found, interval = drop(small, dense, truth, ())
    assert found == pytest.approx(10.0) and interval.low == pytest.approx(10.0)
    assert drop(dense, dense, truth, ()) == (0.0, (0.0, 0.0))


def test_beside_perfect_answers_a_drop_is_a_number():
    truth = np.arange(5.0)
    found, interval = drop({"value": truth + 1}, {"value": truth}, truth, ())
    assert np.isfinite(found) and np.isfinite(interval).all() and found > 1e6
    assert drop({"value": truth}, {"value": truth}, truth, ())[0] == 0.0
