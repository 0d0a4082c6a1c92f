"""How fast candidates are, measured so that they can be compared: in turns, in one process, in one run.

A machine's speed drifts by the second (heat, neighbours, clock); candidates measured one after the other inherit
that drift as if it were their own. Here each takes a slice of the time in every round, so that drift meets all.
"""

import gc
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

_ROUNDS = 20
_LEAST_RUNS = 3


class Runs(Protocol):
    """What can be timed: a `Session`, or anything that runs like one."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Answers one batch."""
        ...


@dataclass(frozen=True)
class Latency:
    """How long one call took, in milliseconds, over so many calls."""

    p50_ms: float
    p95_ms: float
    runs: int


def interleaved(
    sessions: Mapping[str, Runs],
    inputs: Mapping[str, np.ndarray],
    *,
    seconds: float = 0.3,
    warmup: int = 3,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> dict[str, Latency]:
    """Times every session on the same batch.

    Twenty rounds; in each, every session runs for a twentieth of its time, in an order that changes. A session that
    is ahead of its share, since one call of it is longer than a slice, sits out. Garbage collection is off meanwhile.

    Args:
        sessions: What to time, by name.
        inputs: One batch.
        seconds: Time for each session, in all; three calls are made even if they take longer.
        warmup: Calls before the clock starts.
        clock: Nanoseconds that only rise.
    """
    for session in sessions.values():
        for _ in range(warmup):
            session.run(inputs)
    taken: dict[str, list[int]] = {name: [] for name in sessions}
    spent = dict.fromkeys(sessions, 0)
    order = random.Random(0)  # noqa: S311 (an order of turns, no secret)
    with _without_garbage_collection():
        for turn in range(1, _ROUNDS + 1):
            share = int(seconds * 1e9 * turn / _ROUNDS)
            for name in order.sample(sorted(sessions), len(sessions)):
                spent[name] += _time_slice(sessions[name], inputs, share - spent[name], clock, taken[name])
        for name, session in sessions.items():
            while len(taken[name]) < _LEAST_RUNS:
                _time_slice(session, inputs, 1, clock, taken[name])
    return {name: summary(durations) for name, durations in taken.items()}


def summary(durations_ns: list[int]) -> Latency:
    """The median and the 95th percentile of durations in nanoseconds.

    >>> summary([1_000_000, 2_000_000, 3_000_000])
    Latency(p50_ms=2.0, p95_ms=2.9, runs=3)
    """
    p50, p95 = np.percentile(np.asarray(durations_ns, dtype=np.float64) / 1e6, [50, 95])
    return Latency(p50_ms=float(p50), p95_ms=float(p95), runs=len(durations_ns))


def _time_slice(
    session: Runs, inputs: Mapping[str, np.ndarray], nanoseconds: int, clock: Callable[[], int], taken: list[int]
) -> int:
    """Runs until the slice is used up; appends each duration and returns their sum."""
    spent = 0
    while spent < nanoseconds:
        start = clock()
        session.run(inputs)
        duration = max(clock() - start, 1)
        taken.append(duration)
        spent += duration
    return spent


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
