"""Every candidate on ONNX Runtime: metric, parity, bytes, latency, and whether it keeps the budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.contracts.artifacts import Candidate, Measurement
from tasks.contracts.schema import Encoding, Schema
from tasks.exporters.parity import Agreement, agreement
from tasks.runtime import budget as budgets
from tasks.runtime import latency, scoring
from tasks.runtime.session import load
from tasks.runtime.slices import run_in_slices
from tasks.runtime.transport import compressed_size


@dataclass(frozen=True)
class Holdout:
    """The raw rows that all candidates are measured on."""

    inputs: Mapping[str, np.ndarray]
    target: np.ndarray
    """Class indices or values."""
    schema: Schema
    encoding: Encoding

    def batch(self, size: int) -> dict[str, np.ndarray]:
        """The first `size` rows, taken again from the start where there are too few."""
        rows = np.arange(size) % len(self.target)
        return {name: array[rows] for name, array in self.inputs.items()}


@dataclass(frozen=True)
class _Trial:
    """What was found of one candidate."""

    candidate: Candidate
    score: scoring.Score
    parity: Agreement
    latency: latency.Latency
    compressed_bytes: int


def measure(
    candidates: Sequence[Candidate],
    graphs: Mapping[str, bytes],
    torch_answers: Mapping[str, scoring.Outputs],
    holdout: Holdout,
    *,
    budget: budgets.Budget,
    threads: int,
    batch_size: int,
) -> tuple[Measurement, ...]:
    """Measure all candidates on the same rows, latencies in turns.

    Args:
        candidates: One of them is `dense/none`.
        graphs: Candidate name to its ONNX file.
        torch_answers: Network name to what torch answers on the rows.
        holdout: The rows.
        budget: The limits.
        threads: ONNX Runtime threads while latency is measured.
        batch_size: Rows of one call while latency is measured.
    """
    sessions = {name: load(graph, threads) for name, graph in graphs.items()}
    times = latency.interleaved(sessions, holdout.batch(batch_size))
    trials = {}
    for candidate in candidates:
        answers = run_in_slices(sessions[candidate.name], holdout.inputs)
        trials[candidate.name] = _Trial(
            candidate,
            scoring.score(answers, holdout.target, holdout.schema.labels),
            agreement(answers, torch_answers[candidate.network.name], holdout.encoding),
            times[candidate.name],
            compressed_size(graphs[candidate.name]),
        )
    return tuple(_measurement(trial, trials[budgets.REFERENCE], budget) for trial in trials.values())


def _measurement(trial: _Trial, reference: _Trial, budget: budgets.Budget) -> Measurement:
    """The trial in figures, against dense fp32."""
    size_bytes, dense_bytes = trial.candidate.file.size_bytes, reference.candidate.file.size_bytes
    broken = budgets.broken_limits(
        budget,
        drop=budgets.drop(trial.score.metric_name, trial.score.value, reference.score.value),
        size_bytes=size_bytes,
        p50_ms=trial.latency.p50_ms,
        p95_ms=trial.latency.p95_ms,
        reference_p50_ms=reference.latency.p50_ms,
    )
    return Measurement(
        name=trial.candidate.name,
        metric=trial.score.value,
        metric_low=trial.score.low,
        metric_high=trial.score.high,
        size_bytes=size_bytes,
        compressed_bytes=trial.compressed_bytes,
        p50_ms=trial.latency.p50_ms,
        p95_ms=trial.latency.p95_ms,
        parity=trial.parity.share,
        largest_difference=trial.parity.largest_difference,
        compression_rate_parameters=1 - trial.candidate.network.parameters / reference.candidate.network.parameters,
        compression_rate_bytes=1 - size_bytes / dense_bytes,
        speed_up=reference.latency.p50_ms / trial.latency.p50_ms,
        within_budget=not broken,
        broken_limits=broken,
    )
