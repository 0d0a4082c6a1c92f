"""Evaluate: every candidate measured on ONNX Runtime, one winner inside the budget."""

from collections.abc import Sequence

from tasks.contracts.artifacts import Candidate, Dataset, Gate, Run, Verdict
from tasks.contracts.config import EvaluateConfig
from tasks.contracts.signature import signature_of
from tasks.runtime.scoring import Score
from tasks.step import step


@step(name="evaluate")
def evaluate(candidates: Sequence[Candidate], dataset: Dataset, config: EvaluateConfig, run: Run) -> Verdict:
    """Measure all candidates on the validation split, choose inside the budget, read the test split once.

    If none keeps the budget the winner is dense fp32, and the reason says which limit failed and by how much.
    """
    from tasks.exporters import run_report
    from tasks.exporters.measuring import Holdout, measure
    from tasks.exporters.parity import torch_answers
    from tasks.runtime import budget, scoring
    from tasks.runtime.session import load
    from tasks.runtime.slices import run_in_slices
    from tasks.stores.datasets import opened
    from tasks.stores.networks import get_network
    from tasks.stores.s3 import Store

    store = Store.from_environment(run.bucket, run.prefix)
    graphs = {candidate.name: store.get_bytes(candidate.file) for candidate in candidates}
    networks = {candidate.network.name: candidate.network for candidate in candidates}
    with opened(store, dataset) as data:
        validation, test, schema = data.rows("validation"), data.rows("test"), data.manifest.schema_
        holdout = Holdout(validation.inputs, validation.target, schema, data.manifest.encoding)
        encoded, _ = data.arrays("validation")
        expected = {
            name: torch_answers(get_network(store, network), encoded, schema, holdout.encoding, network.loss)
            for name, network in networks.items()
        }
        limits = budget.Budget(config.max_drop, config.max_size_bytes, config.max_p95_ms)
        measurements = measure(
            candidates, graphs, expected, holdout, budget=limits, threads=config.threads, batch_size=config.batch_size
        )
        winning, reason = budget.choose(measurements)
        answers = run_in_slices(load(graphs[winning.name]), test.inputs)
        score = scoring.score(answers, test.target, schema.labels)
        verdict = Verdict(
            metric_name=score.metric_name,
            winner=next(candidate for candidate in candidates if candidate.name == winning.name),
            reason=reason,
            measurements=measurements,
            test_metric=score.value,
            gate=_gate(score, config.min_metric),
            signature=signature_of(schema),
        )
        run_report.log_verdict(run, verdict, data.manifest, dataset.uri, answers=answers, target=test.target)
    return verdict


def _gate(score: Score, min_metric: float | None) -> Gate:
    """Accuracy must reach `min_metric`; RMSE must not pass it."""
    if min_metric is None:
        return Gate(passed=True, reason="no min_metric is set")
    passed = score.value >= min_metric if score.metric_name == "accuracy" else score.value <= min_metric
    return Gate(
        passed=passed,
        reason=f"test {score.metric_name} is {score.value:.5g}, evaluate.min_metric is {min_metric:g}",
    )
