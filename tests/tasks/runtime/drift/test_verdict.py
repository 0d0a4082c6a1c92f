"""What is surely there and large is drift; nothing else is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tasks.contracts.config import DriftConfig
from tasks.runtime.drift import Series, compare, reason

DEFAULTS = DriftConfig()


def numbers(before, now, role="feature", name="x") -> Series:
    return Series(name, role, np.asarray(before, dtype=np.float64), np.asarray(now, dtype=np.float64))


def words(before, now, known=None) -> Series:
    return Series("w", "feature", np.array(before, object), np.array(now, object), known and frozenset(known))


def verdict(series: Series, **changes):
    return compare([series], DEFAULTS.model_copy(update=changes))[0]


@pytest.mark.parametrize("rows", [60, 500, 20_000])
def test_undrifted_samples_raise_fewer_alarms_than_promised(rows):
    rng = np.random.default_rng(rows)
    rounds, alarms = 100 if rows < 20_000 else 20, 0
    for _ in range(rounds):
        series = [numbers(rng.lognormal(size=2000), rng.lognormal(size=rows), name=str(i)) for i in range(6)]
        cities = np.array(list("aaaaabbbccd"), dtype=object)
        series += [Series("w", "feature", rng.choice(cities, 2000), rng.choice(cities, rows), frozenset("abcd"))]
        alarms += any(column.drifted for column in compare(series, DEFAULTS))
    # At alpha = 0.01, more than five of a hundred come once in two thousand.
    assert alarms <= max(1, rounds // 20)


@pytest.mark.parametrize("rows", [60, 500, 20_000])
def test_a_shift_by_one_deviation_is_seen(rows):
    rng = np.random.default_rng(1)
    quiet = [numbers(rng.normal(size=2000), rng.normal(size=rows)) for _ in range(20)]
    columns = compare([*quiet, numbers(rng.normal(size=2000), rng.normal(1, size=rows), name="moved")], DEFAULTS)
    assert [column.name for column in columns if column.drifted] == ["moved"]
    assert reason(columns).startswith("1 of 21 columns drifted: moved (PSI ")


def test_a_sure_but_tiny_shift_of_many_rows_is_none():
    rng = np.random.default_rng(0)
    found = verdict(numbers(rng.normal(size=100_000), rng.normal(0.05, size=100_000)))
    assert found.p_value < 1e-9 and not found.drifted


def test_a_large_shift_of_few_rows_is_none():
    found = verdict(numbers(np.arange(10.0), np.arange(10.0)[:4] + 3))
    assert found.psi > 0.2 and not found.drifted


def test_psi_that_chance_makes_of_many_values_is_none():
    rng = np.random.default_rng(0)
    streets = np.array([f"s{number}" for number in range(900)], dtype=object)
    weights = rng.dirichlet(np.full(900, 20.0))
    slightly = weights * np.exp(rng.normal(scale=0.2, size=900))
    before, now = rng.choice(streets, 20_000, p=weights), rng.choice(streets, 5000, p=slightly / slightly.sum())
    found = verdict(words(before, now))
    assert found.p_value < 0.01 and found.psi > 0.18 and not found.drifted


def test_what_drifted_is_told_in_one_line_whatever_its_name():
    found = compare([numbers(np.arange(900.0), np.arange(900.0) + 900, name="a\nb\tc")], DEFAULTS)
    assert reason(found).startswith("1 of 1 columns drifted: a b c (PSI ")


def test_p_values_are_corrected_as_benjamini_and_hochberg_say():
    rng = np.random.default_rng(5)
    series = [numbers(rng.normal(size=300), rng.normal(i / 40, size=300)) for i in range(8)]
    raw = np.array([stats.ks_2samp(each.before, each.now, method="asymp").pvalue for each in series])
    order = np.argsort(raw)
    steps = raw[order] * 8 / np.arange(1, 9)
    expected = np.empty(8)
    expected[order] = [min(1.0, steps[i:].min()) for i in range(8)]
    assert [column.p_value for column in compare(series, DEFAULTS)] == pytest.approx(expected.tolist())


def test_cells_that_go_missing_are_drift_and_are_told_with_both_shares():
    rng = np.random.default_rng(0)
    now = np.where(rng.random(1000) < 0.2, np.nan, rng.normal(size=1000))
    found = verdict(numbers(rng.normal(size=2000), now))
    assert found.missing_before == 0 and found.missing_now == pytest.approx(0.2, abs=0.04)
    assert found.findings == (f"missing 0.0%, now {found.missing_now:.1%}",)
    assert not verdict(numbers(rng.normal(size=2000), now), min_missing=0.5).drifted
    assert not verdict(numbers(rng.normal(size=2000), now, role="prediction")).drifted


def test_a_column_that_lost_every_value_is_drift():
    found = verdict(numbers(np.arange(200.0), np.full(100, np.nan)))
    assert found.findings == ("missing 0.0%, now 100.0%",)
    assert (found.statistic, found.psi, found.p_value) == (0.0, 0.0, 1.0)


def test_categories_that_training_never_saw_are_drift_named_by_one():
    before = ["a", "b"] * 200
    found = verdict(words(before, ["a", "b"] * 90 + ["Ålesund"] * 20, known="ab"))
    assert found.unseen == pytest.approx(0.1)
    assert "10.0% unseen values such as 'Ålesund'" in found.findings
    assert not verdict(words(before, ["a", "b"] * 99 + ["Ålesund"] * 2, known="ab")).drifted


def test_a_moved_mixture_of_categories_is_drift():
    found = verdict(words(["a", "b"] * 200, ["a"] * 180 + ["b"] * 20, known="ab"))
    assert found.test == "chi2" and found.findings[0].startswith("PSI 0.")


def test_the_reason_names_the_worst_five_and_counts_the_rest():
    columns = compare([numbers(np.arange(500.0), np.arange(500.0) + 60 * i, name=f"c{i}") for i in range(9)], DEFAULTS)
    line = reason(columns)
    assert line.startswith("8 of 9 columns drifted: c8 (PSI ") and line.endswith("and 3 more")
    assert reason(columns[:1]) == "none of 1 columns drifted"


cells = st.lists(st.one_of(st.just(np.nan), st.floats(-1e38, 1e38)), min_size=1, max_size=60)


@given(cells, cells)
def test_whatever_numbers_come_get_a_verdict(before, now):
    found = verdict(numbers(before, now))
    assert 0 <= found.p_value <= 1 and found.psi >= 0 and 0 <= found.statistic <= 1
    assert sum(found.histogram.before) == pytest.approx(1) or not found.histogram.before or np.isnan(before).all()


@given(cells, st.randoms())
def test_the_same_rows_in_another_order_are_no_drift(rows, random):
    again = random.sample(rows, len(rows))
    assert not verdict(numbers(rows, again)).drifted
