"""Evaluate: every candidate measured on ONNX Runtime, one winner inside the budget."""

from tasks.contracts.artifacts import Findings, Run
from tasks.contracts.config import EvaluateConfig
from tasks.contracts.dataset import Dataset
from tasks.contracts.signature import signature_of
from tasks.contracts.verdict import Verdict
from tasks.recall import Recall
from tasks.runtime.budget import Budget, choose
from tasks.step import step


def _tell(verdict: Verdict, dataset: Dataset, run: Run, **_: object) -> None:
    """Show what was found: in MLflow, and as artifacts of the task run."""
    from tasks.exporters import run_report, ui_report
    from tasks.runtime.session import load
    from tasks.runtime.slices import run_in_slices
    from tasks.stores.datasets import opened
    from tasks.stores.s3 import Store

    ui_report.show(run, verdict)
    if not run.mlflow_run_id:
        return
    store = Store.from_environment(run.bucket, run.prefix)
    with opened(store, dataset) as data:
        test = data.rows("test")
        answers = run_in_slices(load(store.get_bytes(verdict.winner.file)), test.inputs)
        run_report.log_verdict(run, verdict, data.manifest, dataset.uri, answers=answers, target=test.target)


@step(name="evaluate", recall=Recall(tell=_tell, measures=True))
def evaluate(findings: Findings, dataset: Dataset, config: EvaluateConfig, run: Run) -> Verdict:
    """Measure all candidates on the validation split, choose inside the budget, read the test split once.

    If none keeps the budget the winner is dense fp32, or nothing is published, by `if_impossible`; the reason says
    which limit failed, and by how much.
    """
    from tasks.exporters.gate import gate_of, reason_of
    from tasks.exporters.measuring import Holdout, measure, without_twins
    from tasks.exporters.parity import torch_answers
    from tasks.runtime import scoring
    from tasks.runtime.cpu import conditions
    from tasks.runtime.session import load
    from tasks.runtime.slices import run_in_slices
    from tasks.stores.datasets import opened
    from tasks.stores.networks import get_network
    from tasks.stores.s3 import Store

    store = Store.from_environment(run.bucket, run.prefix)
    candidates, twins = without_twins(findings.candidates)
    graphs = {candidate.name: store.get_bytes(candidate.file) for candidate in candidates}
    networks = {candidate.network.name: candidate.network for candidate in candidates}
    budget = Budget(config.max_drop, config.max_size_bytes, config.max_p95_ms, config.prefer)
    with opened(store, dataset) as data:
        validation, test, schema = data.rows("validation"), data.rows("test"), data.manifest.schema_
        holdout = Holdout(validation.inputs, validation.target, schema, data.manifest.encoding)
        encoded, _ = data.arrays("validation")
        expected = {
            name: torch_answers(get_network(store, network), encoded, schema, holdout.encoding, network.loss)
            for name, network in networks.items()
        }
        measurements = measure(
            candidates,
            graphs,
            expected,
            holdout,
            budget=budget,
            min_agreement=config.min_agreement,
            threads=config.threads,
            batch_size=config.batch_size,
        )
        choice = choose(measurements, budget)
        answers = run_in_slices(load(graphs[choice.winner.name]), test.inputs)
        score = scoring.score(answers, test.target, schema.labels)
        return Verdict(
            metric_name=score.metric_name,
            winner=next(candidate for candidate in candidates if candidate.name == choice.winner.name),
            reason=reason_of(choice, config),
            measurements=measurements,
            dropped=(*findings.dropped, *twins),
            conditions=conditions(config.threads, config.batch_size),
            test_metric=score.value,
            gate=gate_of(score, choice, config),
            signature=signature_of(schema),
        )
