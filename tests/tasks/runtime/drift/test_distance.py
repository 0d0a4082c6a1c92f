"""Distances against formulas written down a second time, and against what must hold for any data."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tasks.runtime.drift.distance import NONE, inner_edges, of_categories, of_numbers, of_shares, pooled, psi

values = st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=80).map(np.array)
words = st.lists(st.sampled_from(["a", "b", "c", "æ", "d\0", ""]), min_size=1, max_size=80).map(
    lambda found: np.array(found, dtype=object)
)


def psi_by_hand(before: list[int], now: list[int]) -> float:
    total = 0.0
    for b, n in zip(before, now, strict=True):
        p = (b + 0.5) / (sum(before) + len(before) / 2)
        q = (n + 0.5) / (sum(now) + len(now) / 2)
        total += (q - p) * math.log(q / p)
    return total


@given(values, values)
def test_numbers_agree_with_the_definition(before, now):
    found = of_numbers(before, now)
    every = np.concatenate([before, now])
    widest = max(abs((before <= x).mean() - (now <= x).mean()) for x in every)
    assert found.statistic == pytest.approx(widest)
    edges = [-math.inf, *inner_edges(before), math.inf]
    counts = [[sum(low < x <= high for x in s) for low, high in pairwise(edges)] for s in (before, now)]
    assert found.psi == pytest.approx(psi_by_hand(*counts))
    assert 0 <= found.p_value <= 1


@given(values, values)
def test_no_order_and_no_scale_of_the_numbers_matters(before, now):
    plain = of_numbers(before, now)
    assert of_numbers(before[::-1], np.sort(now)) == pytest.approx(plain)
    assert of_numbers(np.exp(before / 10), np.exp(now / 10)) == pytest.approx(plain)


@given(st.one_of(values, words))
def test_what_is_identical_has_no_distance(sample):
    found = (of_categories if sample.dtype == object else of_numbers)(sample, sample.copy())
    assert found[:3] == pytest.approx((0.0, 0.0, 1.0))


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=30))
def test_psi_is_never_negative_and_symmetric(counts):
    before, now = np.array(counts).T
    assert psi(before, now) >= 0
    assert psi(before, now) == pytest.approx(psi(now, before))
    assert psi(before, now) == pytest.approx(psi_by_hand(before.tolist(), now.tolist()))


@given(words, words)
def test_no_name_of_a_category_matters(before, now):
    names = {"a": "z", "b": "y", "c": "x", "æ": "w", "d\0": "v", "": "u"}
    renamed = [np.array([names[value] for value in sample], dtype=object) for sample in (before, now)]
    assert of_categories(*renamed) == pytest.approx(of_categories(before, now))


def test_categories_agree_with_chi_square_by_hand():
    before = np.array(["a"] * 60 + ["b"] * 40, dtype=object)
    now = np.array(["a"] * 20 + ["b"] * 80, dtype=object)
    expected = sum(
        (seen - part * whole / 200) ** 2 / (part * whole / 200)
        for seen, part, whole in [(60, 80, 100), (40, 120, 100), (20, 80, 100), (80, 120, 100)]
    )
    found = of_categories(before, now)
    assert found.p_value == pytest.approx(stats.chi2.sf(expected, 1))
    assert found.statistic == pytest.approx(math.sqrt(expected / 200))
    assert found.psi == pytest.approx(psi_by_hand([60, 40], [20, 80]))


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=20).map(lambda c: np.array(c).T)
)
def test_pooling_loses_no_row_and_leaves_no_rare_value_but_one_alone(counts):
    found = pooled(counts)
    if not counts.sum(axis=1).all():
        assert found.shape[1] == 0
        return
    assert found.sum(axis=1).tolist() == counts.sum(axis=1).tolist()
    least = found.sum(axis=0) * counts.sum(axis=1).min() / counts.sum()
    assert found.shape[1] == 1 or least.min() >= 5


def test_shares_agree_with_the_hypergeometric_distribution():
    tables = [(k, math.comb(20, k) * math.comb(30, 10 - k) / math.comb(50, 10)) for k in range(11)]
    seen = dict(tables)[1]
    assert of_shares(1, 20, 9, 30) == pytest.approx(sum(p for _, p in tables if p <= seen * (1 + 1e-9)))


@pytest.mark.parametrize("empty", ["before", "now"])
def test_an_empty_side_says_nothing(empty):
    full, none = np.ones(9), np.ones(0)
    sides = (none, full) if empty == "before" else (full, none)
    assert of_numbers(*sides) == NONE
    assert of_categories(*(side.astype(object) for side in sides)) == NONE
    assert of_shares(0, 0, 3, 5) == 1.0


def test_a_constant_that_moves_is_seen_either_way():
    for moved in (4.0, 6.0):
        found = of_numbers(np.full(200, 5.0), np.full(200, moved))
        assert found.statistic == 1 and found.psi > 5


def test_a_thousand_long_values_are_counted_as_they_are():
    names = np.array([f"{'x' * 100_000}{i}" for i in range(20)] * 30, dtype=object)
    assert of_categories(names, names).psi == 0
    assert len(Counter(names.tolist())) == 20
