"""Every candidate on ONNX Runtime: metric, parity, bytes, latency, and whether it keeps the budget."""

from collections.abc import Mapping, Sequence

import numpy as np

from tasks.compressors.quantizer import compressed_size
from tasks.contracts.artifacts import Candidate, Measurement
from tasks.contracts.schema import Encoding, Schema
from tasks.exporters.parity import agreement
from tasks.runtime import budget as budgets
from tasks.runtime import latency, scoring
from tasks.runtime.session import load


def measure(
    candidates: Sequence[Candidate],
    graphs: Mapping[str, bytes],
    torch_answers: Mapping[str, scoring.Outputs],
    *,
    inputs: Mapping[str, np.ndarray],
    target: np.ndarray,
    schema: Schema,
    encoding: Encoding,
    budget: budgets.Budget,
    threads: int,
    batch_size: int,
) -> tuple[Measurement, ...]:
    """Measure all candidates on the same rows, latencies in turns.

    Args:
        candidates: One of them is `dense/none`.
        graphs: Candidate name to its ONNX file.
        torch_answers: Network name to what torch answers on `inputs`.
        inputs: Raw rows of the validation split.
        target: Their class indices or values.
        schema: Of the dataset.
        encoding: Of the dataset.
        budget: The limits.
        threads: ONNX Runtime threads while latency is measured.
        batch_size: Rows of one call while latency is measured; rows are repeated where there are too few.
    """
    sessions = {name: load(graph, threads) for name, graph in graphs.items()}
    rows = np.arange(batch_size) % len(target)
    times = latency.interleaved(sessions, {name: array[rows] for name, array in inputs.items()})
    answers = {name: scoring.answer(session, inputs) for name, session in sessions.items()}
    reference = next(candidate for candidate in candidates if candidate.name == budgets.REFERENCE)
    reference_metric = scoring.score(answers[reference.name], target, schema.labels).value
    measurements = []
    for candidate in candidates:
        name, network = candidate.name, candidate.network
        score = scoring.score(answers[name], target, schema.labels)
        parity = agreement(answers[name], torch_answers[network.name], encoding)
        size_bytes = candidate.file.size_bytes
        broken = budgets.broken_limits(
            budget,
            drop=budgets.drop(score.metric_name, score.value, reference_metric),
            size_bytes=size_bytes,
            p50_ms=times[name].p50_ms,
            p95_ms=times[name].p95_ms,
            reference_p50_ms=times[reference.name].p50_ms,
        )
        measurements.append(
            Measurement(
                name=name,
                metric=score.value,
                metric_low=score.low,
                metric_high=score.high,
                size_bytes=size_bytes,
                compressed_bytes=compressed_size(graphs[name]),
                p50_ms=times[name].p50_ms,
                p95_ms=times[name].p95_ms,
                parity=parity.share,
                largest_difference=parity.largest_difference,
                compression_rate_parameters=1 - network.parameters / reference.network.parameters,
                compression_rate_bytes=1 - size_bytes / reference.file.size_bytes,
                speed_up=times[reference.name].p50_ms / times[name].p50_ms,
                within_budget=not broken,
                broken_limits=broken,
            )
        )
    return tuple(measurements)
