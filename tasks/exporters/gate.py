"""Whether a winner may be published, and why it is the winner, in words."""

from tasks.contracts.config import EvaluateConfig
from tasks.contracts.verdict import Gate
from tasks.runtime.budget import Choice
from tasks.runtime.scoring import Score


def reason_of(choice: Choice, config: EvaluateConfig) -> str:
    """Why this candidate, and what it means that none keeps the budget."""
    if choice.inside:
        return choice.reason
    return f"{choice.reason}; so it is {'dense fp32' if config.if_impossible == 'fp32' else 'nothing'}"


def gate_of(score: Score, choice: Choice, config: EvaluateConfig) -> Gate:
    """Accuracy must reach `min_metric`, RMSE must not pass it; without a candidate inside, nothing may be wanted."""
    if not choice.inside and config.if_impossible == "nothing":
        return Gate(passed=False, reason=choice.reason)
    if config.min_metric is None:
        return Gate(passed=True, reason="no min_metric is set")
    reached = score.value >= config.min_metric if score.metric_name == "accuracy" else score.value <= config.min_metric
    return Gate(
        passed=reached,
        reason=f"test {score.metric_name} is {score.value:.5g}, evaluate.min_metric is {config.min_metric:g}",
    )
