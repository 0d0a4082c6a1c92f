import gc

import numpy as np
import pytest

from tasks.runtime.latency import Latency, interleaved, summary

MS = 1_000_000


class Clock:
    """Nanoseconds that pass only when a fake session runs."""

    def __init__(self):
        self.now = 0
        self.calls = []

    def __call__(self):
        return self.now


class Sleeper:
    def __init__(self, clock, name, milliseconds):
        self.clock, self.name, self.milliseconds = clock, name, milliseconds

    def run(self, inputs):
        self.clock.calls.append(self.name)
        self.clock.now += int(self.milliseconds * MS)
        assert not (gc.isenabled() and len(self.clock.calls) > 20), "garbage may be collected while the clock runs"
        return inputs


def test_gives_each_session_its_time_and_its_own_figures():
    clock = Clock()
    sessions = {"fast": Sleeper(clock, "fast", 0.5), "slow": Sleeper(clock, "slow", 5)}
    taken = interleaved(sessions, {}, seconds=0.5, warmup=2, clock=clock)
    assert taken["fast"] == Latency(p50_ms=0.5, p95_ms=0.5, runs=1000)
    assert taken["slow"] == Latency(p50_ms=5.0, p95_ms=5.0, runs=100)


def test_sessions_take_turns_so_that_drift_meets_all():
    clock = Clock()
    sessions = {name: Sleeper(clock, name, 1) for name in "ab"}
    interleaved(sessions, {}, seconds=0.2, warmup=0, clock=clock)
    first_half = clock.calls[: len(clock.calls) // 2]
    assert first_half.count("a") == first_half.count("b") == 100
    changes = sum(one != other for one, other in zip(clock.calls, clock.calls[1:], strict=False))
    assert changes >= 20


def test_a_call_longer_than_its_slice_does_not_eat_the_others_time():
    clock = Clock()
    sessions = {"huge": Sleeper(clock, "huge", 60), "fast": Sleeper(clock, "fast", 1)}
    taken = interleaved(sessions, {}, seconds=0.3, warmup=0, clock=clock)
    assert taken["huge"].runs == 5
    assert taken["fast"].runs == 300


def test_makes_three_calls_even_if_one_takes_longer_than_all_its_time():
    clock = Clock()
    taken = interleaved({"huge": Sleeper(clock, "huge", 2000)}, {}, seconds=0.1, warmup=1, clock=clock)
    assert taken["huge"] == Latency(p50_ms=2000.0, p95_ms=2000.0, runs=3)


def test_the_warm_up_is_not_counted():
    clock = Clock()
    interleaved({"a": Sleeper(clock, "a", 1)}, {}, seconds=0.01, warmup=7, clock=clock)
    assert len(clock.calls) == 7 + 10


def test_garbage_collection_is_switched_on_again_also_after_an_error():
    class Broken:
        calls = 0

        def run(self, inputs):
            self.calls += 1
            if self.calls > 3:
                raise ValueError("broken")

    assert gc.isenabled()
    with pytest.raises(ValueError, match="broken"):
        interleaved({"a": Broken()}, {})
    assert gc.isenabled()


def test_percentiles_are_those_of_numpy():
    durations = np.random.default_rng(0).integers(1, 10**9, size=999)
    expected = np.percentile(durations / 1e6, [50, 95])
    found = summary(list(durations))
    assert [found.p50_ms, found.p95_ms] == pytest.approx(expected)
    assert found.runs == 999
