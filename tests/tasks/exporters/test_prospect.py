"""Limits on untrained networks: read kindly, told in figures."""

import pytest

from tasks.contracts.config import EvaluateConfig
from tasks.exporters.prospect import broken_limits
from tasks.runtime.latency import Latency

FAST, DENSE = Latency(1.0, 5.0, 10), Latency(2.0, 2.1, 10)


@pytest.mark.parametrize(
    ("limits", "fastest", "sentences"),
    [
        ({}, Latency(90.0, 99.0, 10), ()),
        ({"max_size_bytes": 100}, FAST, ()),
        ({"max_size_bytes": 99}, FAST, ("max_size_bytes is 99, but no scheme gives less than 100: 1 too many",)),
        ({"max_p95_ms": 3.0}, FAST, ()),  # the 95th percentile of so short a time may be noise
        ({"max_p95_ms": 3.0}, Latency(2.1, 2.2, 10), ()),  # so may five per cent
        (
            {"max_p95_ms": 0.5},
            FAST,
            ("max_p95_ms is 0.5, but every scheme has a median of 1 or more",),
        ),
        (
            {"max_p95_ms": 3.0},
            Latency(2.5, 2.6, 10),
            ("p50 is 2.5 ms or more, but dense fp32 takes 2: slower never wins",),
        ),
    ],
)
def test_a_limit_is_broken_only_beyond_doubt(limits, fastest, sentences):
    assert broken_limits(100, fastest, DENSE, EvaluateConfig(**limits)) == sentences
