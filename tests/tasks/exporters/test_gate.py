import pytest

from tasks.contracts.config import EvaluateConfig
from tasks.exporters.gate import gate_of
from tasks.runtime.budget import Choice
from tasks.runtime.scoring import Score
from tests.tasks.exporters import measured

INSIDE = Choice(measured.measurement("dense/none", 1), "it is the smallest", True)
OUTSIDE = Choice(measured.measurement("dense/none", 1), "no candidate keeps the budget: 3 bytes too many", False)


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
    gate = gate_of(Score(metric, value, value, value), INSIDE, EvaluateConfig(min_metric=limit))
    assert gate.passed is passed
    assert gate.reason == f"test {metric} is {value:.5g}, evaluate.min_metric is {limit:g}"


def test_without_a_limit_every_winner_passes():
    assert gate_of(Score("accuracy", 0.1, 0, 1), INSIDE, EvaluateConfig()).passed


@pytest.mark.parametrize(("policy", "passed"), [("fp32", True), ("nothing", False)])
def test_an_impossible_budget_publishes_fp32_or_nothing_by_policy(policy, passed):
    gate = gate_of(Score("accuracy", 0.9, 0, 1), OUTSIDE, EvaluateConfig(if_impossible=policy))
    assert gate.passed is passed
    assert passed or "3 bytes too many" in gate.reason
