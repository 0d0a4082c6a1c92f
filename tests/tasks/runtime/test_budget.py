import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.artifacts import Measurement
from tasks.runtime.budget import REFERENCE, Budget, broken_limits, choose, drop


def measured(name: str, size: int = 100, *, broken: tuple[str, ...] = ()) -> Measurement:
    return Measurement(
        name=name, metric=0.9, metric_low=0.8, metric_high=1, size_bytes=size, compressed_bytes=size,
        p50_ms=1, p95_ms=1,
        parity=1, largest_difference=0, compression_rate_parameters=0, compression_rate_bytes=0, speed_up=1,
        within_budget=not broken, broken_limits=broken,
    )  # fmt: skip


def limits(budget: Budget, **facts: float) -> tuple[str, ...]:
    kept = {"drop": 0.0, "size_bytes": 10, "p50_ms": 1.0, "p95_ms": 1.0, "reference_p50_ms": 1.0}
    return broken_limits(budget, **(kept | facts))


def test_a_drop_that_equals_the_limit_is_kept():
    assert limits(Budget(max_drop=0.3), drop=drop("accuracy", 0.987, 0.990)) == ()


@pytest.mark.parametrize(
    ("budget", "facts", "sentence"),
    [
        (Budget(0.5), {"drop": 1.7}, "max_drop is 0.5, but it loses 1.7: 1.2 too much"),
        (Budget(0.5, max_size_bytes=9), {}, "max_size_bytes is 9, but it has 10: 1 too many"),
        (Budget(0.5, max_p95_ms=0.8), {}, "max_p95_ms is 0.8, but it takes 1: 0.2 too long"),
        (Budget(0.5, max_p95_ms=9), {"p50_ms": 1.5}, "p50 is 1.5 ms, but dense fp32 takes 1: slower never wins"),
    ],
)
def test_a_broken_limit_says_which_and_by_how_much(budget, facts, sentence):
    assert limits(budget, **facts) == (sentence,)


def test_latency_shuts_nobody_out_where_no_limit_is_set():
    assert limits(Budget(0.5), p50_ms=50.0, p95_ms=99.0) == ()


def test_the_smallest_candidate_inside_the_budget_wins():
    winner, reason = choose(
        [measured(REFERENCE, 100), measured("a", 10, broken=("x",)), measured("b", 20), measured("c", 30)]
    )
    assert winner.name == "b" and reason == "b is the smallest of 3 candidates inside the budget"


def test_dense_fp32_is_published_when_none_keeps_the_budget():
    winner, reason = choose([measured("a", 1, broken=("a is bad",)), measured(REFERENCE, 9, broken=("too big by 3",))])
    assert winner.name == REFERENCE
    assert reason == "no candidate keeps the budget, so it is dense fp32: too big by 3"


@given(st.permutations([measured(REFERENCE), measured("a", 7), measured("b", 7), measured("c", 8)]))
def test_the_winner_does_not_depend_on_the_order(measurements):
    assert choose(measurements)[0].name == "a"


def test_a_perfect_regression_has_no_drop_to_itself():
    assert drop("rmse", 0.0, 0.0) == 0.0 and drop("rmse", 0.1, 0.0) == float("inf")
