import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.verdict import Hop, Measurement
from tasks.runtime.budget import REFERENCE, Budget, choose, drop, excesses, judged

DROPS = {"drop": 1.7, "drop_low": 0.9, "drop_high": 2.5}


def measured(name: str, size: int = 100, *, broken: tuple[str, ...] = (), **facts: object) -> Measurement:
    return Measurement(
        name=name, metric=0.9, metric_low=0.8, metric_high=1, size_bytes=size, compressed_bytes=size,
        p50_ms=1, p95_ms=1,
        parity=1, largest_difference=0, compression_rate_parameters=0, compression_rate_bytes=0, speed_up=1,
        within_budget=not broken, broken_limits=broken,
    ).model_copy(update=facts)  # fmt: skip


def hop(name: str, *, passed: bool) -> Hop:
    return Hop(name=name, label_agreement=0.62, largest_difference=0.4, bound="agreement >= 0.8", passed=passed)


def limits(budget: Budget, **facts: object) -> tuple[str, ...]:
    return judged(measured("a", 10, **facts), budget).broken_limits


def test_a_drop_that_equals_the_limit_is_kept():
    loss = drop("accuracy", 0.987, 0.990)
    assert limits(Budget(max_drop=0.3), drop=loss, drop_low=0.1, drop_high=0.5) == ()


@pytest.mark.parametrize(
    ("budget", "facts", "sentence"),
    [
        (
            Budget(0.5),
            DROPS,
            "max_drop is 0.5, but it loses 1.7 (95 % interval 0.9 to 2.5, above noise): 1.2 too much",
        ),
        (Budget(0.5, max_size_bytes=9), {}, "max_size_bytes is 9, but it has 10: 1 too many"),
        (Budget(0.5, max_p95_ms=0.8), {}, "max_p95_ms is 0.8, but it takes 1: 0.2 too long"),
        (
            Budget(0.5, max_p95_ms=9),
            {"p50_ms": 1.5, "speed_up": 0.5},
            "p50 is 1.5 ms, but dense fp32 takes 0.75: slower never wins",
        ),
        (
            Budget(0.5, prefer="latency"),
            {"p50_ms": 2.0, "speed_up": 0.5},
            "p50 is 2 ms, but dense fp32 takes 1: slower never wins",
        ),
    ],
)
def test_a_broken_limit_says_which_and_by_how_much(budget, facts, sentence):
    assert limits(budget, **facts) == (sentence,)


def test_a_drop_that_is_not_told_from_noise_is_no_loss():
    assert limits(Budget(0.5), drop=1.7, drop_low=0.0, drop_high=3.4) == ()
    assert limits(Budget(0.5), drop=1.7, drop_low=-0.3, drop_high=3.7) == ()


def test_a_drop_that_is_no_number_breaks_the_limit():
    nan = float("nan")
    assert limits(Budget(0.5), drop=nan, drop_low=nan, drop_high=nan)[0].startswith("max_drop is 0.5")


def test_the_first_hop_that_breaks_its_bound_is_named_and_no_other():
    hops = (hop("pruned", passed=True), hop("exported", passed=False), hop("quantized", passed=False))
    (sentence,) = limits(Budget(0.5), hops=hops)
    assert sentence == (
        "parity breaks where it is exported, which must keep agreement >= 0.8, "
        "but 0.62 of the golden rows agree, largest difference 0.4"
    )


def test_latency_shuts_nobody_out_where_it_does_not_matter():
    assert limits(Budget(0.5), p50_ms=50.0, p95_ms=99.0, speed_up=0.01) == ()


def test_the_smallest_candidate_inside_the_budget_wins():
    everybody = [measured(REFERENCE, 100), measured("a", 10, broken=("x",)), measured("b", 20), measured("c", 30)]
    winner, reason, inside = choose(everybody, Budget(0.5))
    assert inside and winner.name == "b" and reason == "b is the smallest of 3 candidates inside the budget"


def test_fewest_compressed_bytes_win_where_transit_is_preferred():
    everybody = [measured(REFERENCE, 100), measured("a", 20), measured("b", 30, compressed_bytes=5)]
    winner, reason, _ = choose(everybody, Budget(0.5, prefer="transit"))
    assert winner.name == "b" and reason == "b is the smallest in transit of 3 candidates inside the budget"


def test_the_fastest_wins_where_latency_is_preferred_and_a_tie_goes_to_the_smaller_file():
    everybody = [
        measured(REFERENCE, 100, p50_ms=2.0), measured("fastest", 90, p50_ms=1.0),
        measured("as fast", 40, p50_ms=1.04), measured("smallest", 9, p50_ms=1.2),
    ]  # fmt: skip
    winner, reason, _ = choose(everybody, Budget(0.5, prefer="latency"))
    assert winner.name == "as fast" and reason == "as fast is the fastest of 4 candidates inside the budget"


def test_what_is_slower_than_dense_fp32_cannot_win_where_latency_is_preferred():
    budget = Budget(0.5, prefer="latency")
    slower = measured("a", 1, p50_ms=1.01, speed_up=1 / 1.01)
    assert choose([judged(slower, budget), measured(REFERENCE, 100)], budget).winner.name == REFERENCE


def test_when_none_keeps_the_budget_the_closest_is_named_with_its_limit_and_by_how_much():
    budget = Budget(0.5, max_size_bytes=50)
    everybody = [
        judged(measured(REFERENCE, 100), budget),
        judged(measured("a", 60), budget),
        judged(measured("b", 40, **DROPS), budget),
        judged(measured("c", 49, hops=(hop("quantized", passed=False),)), budget),
    ]
    winner, reason, inside = choose(everybody, budget)
    assert winner.name == REFERENCE and not inside
    assert reason == (
        "no candidate keeps the budget: a comes closest, but max_size_bytes is 50, but it has 60: 10 too many"
    )


@given(st.permutations([measured(REFERENCE), measured("a", 7), measured("b", 7), measured("c", 8)]))
def test_the_winner_does_not_depend_on_the_order(measurements):
    for prefer in ("size", "transit", "latency"):
        assert choose(measurements, Budget(0.5, prefer=prefer)).winner.name == "a"


@given(st.floats(0, 5), st.floats(0, 5), st.integers(1, 20), st.floats(0.1, 3), st.floats(0.1, 3))
def test_a_limit_is_broken_if_and_only_if_something_exceeds_it(loss, low, size, p95_ms, speed_up):
    facts = {"drop": loss, "drop_low": min(low, loss), "drop_high": loss, "p95_ms": p95_ms, "speed_up": speed_up}
    found = excesses(measured("a", size, **facts), Budget(1.0, max_size_bytes=10, max_p95_ms=1.0))
    broken = [loss > 1 + 1e-9 and min(low, loss) > 0, size > 10, p95_ms > 1, speed_up < 1]
    assert len(found) == sum(broken) and all(excess.share > 0 for excess in found)


def test_a_perfect_regression_has_no_drop_to_itself():
    assert drop("rmse", 0.0, 0.0) == 0.0 and drop("rmse", 0.1, 0.0) == float("inf")
