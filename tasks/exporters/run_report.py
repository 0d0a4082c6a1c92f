"""What evaluation leaves in MLflow: a nested run for each trial, the winner's figures and plots on the parent."""

import json
from typing import Any

import numpy as np

from tasks.contracts.artifacts import Run
from tasks.contracts.dataset import DatasetManifest
from tasks.contracts.verdict import Measurement, Verdict
from tasks.exporters import plots
from tasks.exporters.card import model_card
from tasks.runtime import metrics
from tasks.runtime.scoring import Outputs
from tasks.stores import tracking


def log_verdict(
    run: Run, verdict: Verdict, data: DatasetManifest, dataset_uri: str, *, answers: Outputs, target: np.ndarray
) -> None:
    """Log the verdict.

    Args:
        run: The parent run.
        verdict: What was decided.
        data: The dataset's manifest.
        dataset_uri: Its address.
        answers: The winner's, on the test split.
        target: Of the test split.
    """
    parent = run.mlflow_run_id
    for measurement in verdict.measurements:
        child = tracking.child_run(parent, measurement.name, _params(measurement), _tags(verdict, measurement))
        tracking.log_metrics(child, _figures(verdict, measurement))
        tracking.close_run(child)
    for dropped in verdict.dropped:
        tags = {"dropped": dropped.rung, "reason": dropped.reason, "mlflow.note.content": dropped.reason}
        tracking.close_run(tracking.child_run(parent, dropped.name, _place(dropped.name), tags))
    tracking.log_metrics(
        parent, {**_figures(verdict, verdict.winning), f"test/{verdict.metric_name}": verdict.test_metric}
    )
    tracking.set_tags(parent, {"candidate": verdict.winner.name, "gate": _passed(verdict), "reason": verdict.reason})
    tracking.log_figure(
        parent, plots.pareto(verdict.measurements, verdict.winner.name, verdict.metric_name), "plots/pareto.png"
    )
    if data.schema_.labels:
        counts = _confusion(answers, target, data.schema_.labels)
        tracking.log_figure(parent, plots.confusion_matrix(counts, data.schema_.labels), "plots/confusion.png")
    else:
        tracking.log_figure(parent, plots.residuals(target, answers["value"]), "plots/residuals.png")
    tracking.describe_run(parent, model_card(run.model_name, verdict, data, dataset_uri))
    tracking.log_text(parent, json.dumps(pareto(verdict), indent=1), "pareto.json")


def pareto(verdict: Verdict) -> dict[str, Any]:
    """All that was measured and dropped, and who is on the front: `pareto.json`."""
    return {
        "metric_name": verdict.metric_name,
        "winner": verdict.winner.name,
        "reason": verdict.reason,
        "front": [m.name for m in verdict.measurements if m.on_front],
        "conditions": verdict.conditions.model_dump(mode="json"),
        "candidates": [measurement.model_dump(mode="json") for measurement in verdict.measurements],
        "dropped": [dropped.model_dump(mode="json") for dropped in verdict.dropped],
    }


def _params(measurement: Measurement) -> dict[str, str]:
    return _place(measurement.name) | {"within_budget": str(measurement.within_budget).lower()}


def _place(name: str) -> dict[str, str]:
    """Network and scheme of a trial, by which runs are compared."""
    network, _, scheme = name.partition("/")
    return {"network": network, "scheme": scheme or "not tried"}


def _tags(verdict: Verdict, measurement: Measurement) -> dict[str, str]:
    broken = "; ".join(measurement.broken_limits)
    note = f"The winner: {verdict.reason}." if measurement.name == verdict.winner.name else broken
    return {"candidate": measurement.name, "mlflow.note.content": note or "Inside the budget."}


def _figures(verdict: Verdict, measurement: Measurement) -> dict[str, float]:
    return {
        f"evaluate/{verdict.metric_name}": measurement.metric,
        "evaluate/drop": measurement.drop,
        "evaluate/size_bytes": measurement.size_bytes,
        "evaluate/compressed_bytes": measurement.compressed_bytes,
        "evaluate/p50_ms": measurement.p50_ms,
        "evaluate/p95_ms": measurement.p95_ms,
        "evaluate/compression_rate": measurement.compression_rate_bytes,
        "evaluate/compression_rate_parameters": measurement.compression_rate_parameters,
        "evaluate/speed_up": measurement.speed_up,
        "parity/label_agreement": measurement.parity,
        "parity/largest_difference": measurement.largest_difference,
        "evaluate/unfused_pairs": measurement.unfused_pairs,
        **{f"parity/{hop.name}_agreement": hop.label_agreement for hop in measurement.hops},
    }


def _passed(verdict: Verdict) -> str:
    return "passed" if verdict.gate.passed else "failed"


def _confusion(answers: Outputs, target: np.ndarray, labels: tuple[int, ...] | tuple[str, ...]) -> np.ndarray:
    index = {label: i for i, label in enumerate(labels)}
    answered = np.array([index[label] for label in answers["label"].tolist()])
    return metrics.confusion(target, answered, len(labels))
