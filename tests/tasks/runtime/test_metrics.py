import time

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tasks.runtime.metrics import (
    accuracy,
    accuracy_interval,
    bootstrap_interval,
    confusion,
    macro_f1,
    mae,
    paired_difference_interval,
    paired_rmse_interval,
    r2,
    rmse,
    rmse_interval,
    squared_errors,
)

numbers = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_class_metrics_are_those_of_scikit_learn(pairs):
    truth, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    assert accuracy(truth, predicted) == pytest.approx(sklearn.metrics.accuracy_score(truth, predicted))
    assert macro_f1(truth, predicted, 5) == pytest.approx(
        sklearn.metrics.f1_score(truth, predicted, average="macro", zero_division=0)
    )
    expected = sklearn.metrics.confusion_matrix(truth, predicted, labels=range(5))
    np.testing.assert_array_equal(confusion(truth, predicted, 5), expected)


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=60))
def test_number_metrics_are_those_of_scikit_learn(pairs):
    truth, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    assert rmse(truth, predicted) == pytest.approx(sklearn.metrics.root_mean_squared_error(truth, predicted))
    assert mae(truth, predicted) == pytest.approx(sklearn.metrics.mean_absolute_error(truth, predicted))
    if np.ptp(truth) > 1e-3:
        assert r2(truth, predicted) == pytest.approx(sklearn.metrics.r2_score(truth, predicted), rel=1e-6, abs=1e-6)


def test_r2_of_a_constant_target_is_one_if_met_and_zero_if_missed():
    assert r2([2, 2], [2, 2]) == 1.0
    assert r2([2, 2], [2, 3]) == 0.0


def test_accuracy_compares_strings_too():
    assert accuracy(np.array(["a", "b"], dtype=object), np.array(["a", "c"], dtype=object)) == 0.5


def test_the_interval_of_an_accuracy_is_that_of_drawing_rows():
    random = np.random.default_rng(3)
    correct = random.random(500) < 0.9
    reference = stats.bootstrap((correct,), np.mean, n_resamples=4000, method="percentile", random_state=random)
    found = bootstrap_interval(correct, resamples=4000)
    assert found.low == pytest.approx(reference.confidence_interval.low, abs=0.004)
    assert found.high == pytest.approx(reference.confidence_interval.high, abs=0.004)
    assert accuracy_interval(correct, np.ones(500, dtype=bool)) == bootstrap_interval(correct)


def test_the_interval_of_an_rmse_is_that_of_scipys_bootstrap():
    random = np.random.default_rng(4)
    truth = random.normal(size=400)
    predicted = truth + random.standard_t(5, size=400)
    reference = stats.bootstrap(
        (truth, predicted),
        lambda t, p, axis: np.sqrt(np.mean((t - p) ** 2, axis=axis)),
        paired=True,
        n_resamples=4000,
        method="percentile",
        random_state=random,
    )
    found = rmse_interval(truth, predicted)
    assert found.low == pytest.approx(reference.confidence_interval.low, rel=0.02)
    assert found.high == pytest.approx(reference.confidence_interval.high, rel=0.02)


@pytest.mark.parametrize("rows", [10_001, 14_000, 50_000])
def test_many_rows_give_the_width_that_theory_gives(rows):
    values = 7 + np.random.default_rng(5).exponential(size=rows)
    found = bootstrap_interval(values)
    half = 1.96 * values.std() / rows**0.5
    assert found.low == pytest.approx(values.mean() - half, abs=0.2 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.2 * half)


def test_the_paired_interval_is_that_of_scipys_bootstrap_and_tighter_than_two_apart():
    random = np.random.default_rng(6)
    b = random.random(1000) < 0.85
    a = np.where(random.random(1000) < 0.04, True, b)
    reference = stats.bootstrap(
        (a.astype(float) - b,), np.mean, n_resamples=4000, method="percentile", random_state=random
    ).confidence_interval
    found = paired_difference_interval(a, b)
    assert found.low == pytest.approx(reference.low, abs=0.002)
    assert found.high == pytest.approx(reference.high, abs=0.002)
    apart = np.ptp(bootstrap_interval(a)) + np.ptp(bootstrap_interval(b))
    assert np.ptp(found) < apart / 3


def test_the_paired_interval_of_rmse_is_that_of_scipys_bootstrap():
    random = np.random.default_rng(7)
    truth = random.normal(size=300)
    a, b = truth + random.normal(size=300), truth + 1.2 * random.normal(size=300)
    reference = stats.bootstrap(
        (squared_errors(truth, a), squared_errors(truth, b)),
        lambda one, other, axis: np.sqrt(one.mean(axis=axis)) - np.sqrt(other.mean(axis=axis)),
        paired=True,
        n_resamples=4000,
        method="percentile",
        random_state=random,
    ).confidence_interval
    found = paired_rmse_interval(squared_errors(truth, a), squared_errors(truth, b))
    width = reference.high - reference.low
    assert found.low == pytest.approx(reference.low, abs=0.1 * width)
    assert found.high == pytest.approx(reference.high, abs=0.1 * width)


def test_no_difference_is_an_interval_of_zero():
    right = np.array([True, False, True])
    assert paired_difference_interval(right, right) == (0.0, 0.0)


@settings(max_examples=20)
@given(st.lists(numbers, min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_intervals_are_repeatable_ordered_and_inside_the_values(values, seed):
    found = bootstrap_interval(values, seed=seed, resamples=200)
    assert found == bootstrap_interval(values, seed=seed, resamples=200)
    slack = 1e-9 * max(map(abs, values))
    assert min(values) - slack <= found.low <= found.high <= max(values) + slack


def test_another_seed_draws_other_rows():
    values = np.random.default_rng(8).normal(size=100)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


def test_ten_thousand_rows_take_a_moment():
    random = np.random.default_rng(9)
    truth = random.normal(size=10_000)
    predicted = truth + random.normal(size=10_000)
    start = time.process_time()
    rmse_interval(truth, predicted)
    accuracy_interval(truth > 0, predicted > 0)
    assert time.process_time() - start < 1.0  # 0.07 s when alone: a loop in Python would take minutes
