import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.runtime.pareto import front, with_front
from tests.tasks.exporters import measured

points = st.lists(st.tuples(*[st.integers(0, 4)] * 4), min_size=1, max_size=12)


def beats(one, other) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


@given(points)
def test_a_point_is_on_the_front_if_and_only_if_nothing_beats_it(costs):
    expected = [not any(beats(other, one) for other in costs) for one in costs]
    assert front(costs).tolist() == expected
    assert any(expected)


def test_equal_points_are_on_the_front_together():
    assert front([[1, 1], [1, 1], [2, 1]]).tolist() == [True, True, False]


def test_what_is_no_number_is_not_on_the_front():
    assert front([[float("nan"), 0], [1, 1]]).tolist() == [False, True]


@pytest.mark.parametrize(("metric_name", "expected"), [("accuracy", [True, True]), ("rmse", [False, True])])
def test_accuracy_is_good_when_high_and_rmse_when_low(metric_name, expected):
    high = measured.measurement("high", 1000).model_copy(update={"metric": 0.99})
    low = measured.measurement("low", 900)
    assert [m.on_front for m in with_front((high, low), metric_name)] == expected
