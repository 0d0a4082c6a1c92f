import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.datasets.splits import TEST, TRAIN, VALIDATION, Shares, by_draw, by_time, draws, time_cuts

SHARES = Shares(validation=0.2, test=0.1)


@given(st.integers(0, 2**63), st.integers(1, 400), st.data())
def test_a_draw_depends_on_seed_and_row_alone(seed: int, rows: int, data: st.DataObject) -> None:
    whole = draws(seed, np.arange(rows))
    cut = data.draw(st.integers(0, rows))
    pieces = [draws(seed, np.arange(cut)), draws(seed, np.arange(cut, rows))]
    assert np.concatenate(pieces).tolist() == whole.tolist()
    assert ((whole >= 0) & (whole < 1)).all()


@given(st.integers(0, 2**63))
def test_sixteen_rows_fall_into_sixteen_sixteenths(seed: int) -> None:
    places = (draws(seed, np.arange(160)) * 16).astype(int).reshape(10, 16)
    assert all(sorted(block) == list(range(16)) for block in places.tolist())


def test_draws_differ_by_seed_and_look_uniform() -> None:
    rows = np.arange(100_000)
    one, other = draws(0, rows), draws(1, rows)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.01
    assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 0.08  # strata make neighbours differ a little
    assert np.histogram(one, 20, (0, 1))[0].std() < 100


def test_shares_are_kept_even_for_twenty_rows() -> None:
    for seed in range(200):
        sides = by_draw(draws(seed, np.arange(20)), Shares(0.15, 0.15))
        assert min(np.bincount(sides, minlength=3)) >= 1


def test_the_lowest_draws_are_tested() -> None:
    assert by_draw(np.array([0.0, 0.0999, 0.1, 0.2999, 0.301, 0.99]), SHARES).tolist() == [
        TEST, TEST, VALIDATION, VALIDATION, TRAIN, TRAIN,
    ]  # fmt: skip


@pytest.mark.parametrize("keys", [np.arange(100), np.arange(100) * 0.5, np.random.default_rng(0).permutation(100)])
def test_the_latest_rows_are_tested(keys: np.ndarray) -> None:
    sides = by_time(keys, time_cuts(keys, SHARES))
    assert np.bincount(sides).tolist() == [70, 20, 10]
    assert keys[sides == TRAIN].max() < keys[sides == VALIDATION].min()
    assert keys[sides == VALIDATION].max() < keys[sides == TEST].min()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_equal_times_share_a_side(times: list[int]) -> None:
    keys = np.array(times)
    sides = by_time(keys, time_cuts(keys, SHARES))
    assert all(len(set(sides[keys == time])) == 1 for time in set(times))
    assert sides[keys.argmax()] == TEST
