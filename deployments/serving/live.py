"""Rate and latency of the last minute, per model: a ring of seconds, each a histogram of fixed, log-spaced buckets.

A record is one logarithm and two additions, whatever the traffic; a model costs 60 kB however many requests it gets.
Eight buckets an octave keep every percentile within 5 % of the truth.
"""

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from math import log2

import numpy as np

SECONDS = 60
_RING = 64
"""More than a minute, so that the second that is being read is never the one that is being reused."""
_PER_OCTAVE = 8
_BUCKETS = 27 * _PER_OCTAVE
"""From 1 us to 134 s."""
_EMPTY = array("I", bytes(4 * _BUCKETS))


@dataclass(frozen=True, slots=True)
class Figures:
    """One model's last minute."""

    requests: int
    rate: float
    """Requests a second."""
    refused: int
    """Answered with 4xx: the request was wrong, or not allowed."""
    failed: int
    """Answered with 5xx: our fault."""
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    """None while there was no request."""
    per_second: tuple[int, ...]
    """Requests in each of the last 60 seconds, the newest last."""


class _Second:
    __slots__ = ("at", "buckets", "failed", "refused")

    def __init__(self) -> None:
        self.restart(-1)

    def restart(self, at: int) -> None:
        self.at, self.refused, self.failed = at, 0, 0
        self.buckets = _EMPTY[:]


class Live:
    """What happened in the last minute, in this process. One thread records; any may read.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._born = clock()
        self._rings: dict[str, list[_Second]] = {}

    def record(self, model: str, seconds: float, status: int) -> None:
        """Counts one answered request.

        Args:
            model: One that is served: each new name costs memory.
            seconds: How long it took.
            status: What it was answered with.
        """
        ring = self._rings.get(model)
        if ring is None:
            ring = self._rings[model] = [_Second() for _ in range(_RING)]
        now = int(self._clock())
        second = ring[now % _RING]
        if second.at != now:
            second.restart(now)
        bucket = int(log2(seconds * 1e6 + 1) * _PER_OCTAVE)
        second.buckets[bucket if bucket < _BUCKETS else _BUCKETS - 1] += 1
        if status >= 500:
            second.failed += 1
        elif status >= 400:
            second.refused += 1

    def figures(self, model: str) -> Figures:
        """A model's last minute; all zero for one that was never asked."""
        clock = self._clock()
        now = int(clock)
        recent = {second.at: second for second in self._rings.get(model, ()) if now - SECONDS < second.at <= now}
        per_second = tuple(sum(recent[at].buckets) if at in recent else 0 for at in range(now - SECONDS + 1, now + 1))
        counts = np.sum([np.frombuffer(second.buckets, np.uint32) for second in recent.values()], axis=0)
        p50, p95, p99 = _percentiles_ms(counts)
        age = min(max(clock - self._born, 1.0), SECONDS)
        return Figures(
            requests=sum(per_second),
            rate=sum(per_second) / age,
            refused=sum(second.refused for second in recent.values()),
            failed=sum(second.failed for second in recent.values()),
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            per_second=per_second,
        )


def _percentiles_ms(counts: np.ndarray) -> tuple[float | None, float | None, float | None]:
    total = int(np.sum(counts))
    if not total:
        return None, None, None
    reached = np.cumsum(counts)
    # The middle of a bucket, in octaves, is off by half a bucket at most.
    buckets = (int(np.searchsorted(reached, share * total)) for share in (0.5, 0.95, 0.99))
    p50, p95, p99 = (float((2 ** ((bucket + 0.5) / _PER_OCTAVE) - 1) / 1000) for bucket in buckets)
    return p50, p95, p99
