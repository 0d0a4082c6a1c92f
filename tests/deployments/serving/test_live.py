import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.serving.live import Live


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@settings(max_examples=50)
@given(st.lists(st.floats(2e-5, 60), min_size=1, max_size=200))
def test_percentiles_are_within_five_per_cent(seconds):
    live = Live(Clock())
    for each in seconds:
        live.record("m", each, 200)
    figures = live.figures("m")
    exact = np.percentile(np.array(seconds) * 1000, [50, 95, 99], method="inverted_cdf")
    np.testing.assert_allclose([figures.p50_ms, figures.p95_ms, figures.p99_ms], exact, rtol=0.05)
    assert figures.requests == len(seconds)


def test_what_is_older_than_a_minute_is_forgotten():
    clock = Clock()
    live = Live(clock)
    live.record("m", 0.001, 200)
    clock.now += 30
    live.record("m", 0.001, 500)
    assert live.figures("m").per_second == (*(0,) * 29, 1, *(0,) * 29, 1)
    clock.now += 30
    assert (live.figures("m").requests, live.figures("m").failed) == (1, 1)
    clock.now += 1000
    assert (live.figures("m").requests, live.figures("m").p99_ms) == (0, None)
    live.record("m", 0.001, 404)
    assert (live.figures("m").requests, live.figures("m").failed, live.figures("m").refused) == (1, 0, 1)


def test_the_rate_of_a_young_process_counts_the_time_it_had():
    clock = Clock()
    live = Live(clock)
    clock.now += 10
    for _ in range(50):
        live.record("m", 0.001, 200)
    assert live.figures("m").rate == 5
    clock.now += 40
    assert live.figures("m").rate == 1


def test_a_time_beyond_the_last_bucket_or_of_nothing_counts():
    live = Live(Clock())
    for seconds in (0.0, 1e9):
        live.record("m", seconds, 200)
    assert live.figures("m").requests == 2


def test_models_do_not_mix():
    live = Live(Clock())
    live.record("a", 0.001, 200)
    assert live.figures("b").requests == 0
