import pytest

from tasks.evaluate import _gate
from tasks.runtime.scoring import Score


@pytest.mark.parametrize(
    ("metric", "value", "limit", "passed"),
    [
        ("accuracy", 0.95, 0.95, True),
        ("accuracy", 0.94, 0.95, False),
        ("rmse", 52_000, 55_000, True),
        ("rmse", 56_000, 55_000, False),
    ],
)
def test_accuracy_must_reach_the_gate_and_rmse_must_not_pass_it(metric, value, limit, passed):
    gate = _gate(Score(metric, value, value, value), limit)
    assert gate.passed is passed
    assert gate.reason == f"test {metric} is {value:.5g}, evaluate.min_metric is {limit:g}"


def test_without_a_limit_every_winner_passes():
    assert _gate(Score("accuracy", 0.1, 0, 1), None).passed
