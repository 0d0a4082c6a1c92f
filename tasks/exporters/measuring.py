"""Every candidate on ONNX Runtime: metric, drop, parity, bytes, latency, and whether it keeps the budget."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.contracts.artifacts import Candidate, Dropped
from tasks.contracts.schema import Encoding, Schema
from tasks.contracts.verdict import Measurement
from tasks.exporters.ledger import Answers, Chain, golden, ledger
from tasks.exporters.parity import agreement
from tasks.runtime import budget as budgets
from tasks.runtime import latency, scoring
from tasks.runtime.fusion import unfused_pairs
from tasks.runtime.pareto import with_front
from tasks.runtime.session import Session, load
from tasks.runtime.slices import run_in_slices
from tasks.runtime.transport import compressed_size

DENSE, FP32 = budgets.REFERENCE.split("/")


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
class _Bench:
    """What all candidates have in common."""

    holdout: Holdout
    budget: budgets.Budget
    min_agreement: float
    torch_answers: Mapping[str, scoring.Outputs]
    reference: Candidate
    reference_answers: scoring.Outputs
    times: Mapping[str, latency.Latency]


def without_twins(candidates: Iterable[Candidate]) -> tuple[tuple[Candidate, ...], tuple[Dropped, ...]]:
    """Candidates of which no two are the same file, dense fp32 before all, and those that are left out for it."""
    kept: dict[str, Candidate] = {}
    dropped = []
    for candidate in sorted(candidates, key=lambda each: each.name != budgets.REFERENCE):
        twin = kept.setdefault(candidate.file.sha256, candidate)
        if twin is not candidate:
            reason = f"it is the same file as {twin.name}"
            dropped.append(Dropped(name=candidate.name, rung="quantize", reason=reason))
    return tuple(kept.values()), tuple(dropped)


def measure(
    candidates: Sequence[Candidate],
    graphs: Mapping[str, bytes],
    torch_answers: Mapping[str, scoring.Outputs],
    holdout: Holdout,
    *,
    budget: budgets.Budget,
    min_agreement: float,
    threads: int,
    batch_size: int,
) -> tuple[Measurement, ...]:
    """Measure all candidates on the same rows, latencies in turns.

    Args:
        candidates: One of them is `dense/none`; no two are the same file.
        graphs: Candidate name to its ONNX file.
        torch_answers: Network name to what torch answers on the rows.
        holdout: The rows.
        budget: The limits.
        min_agreement: Share of golden rows that pruning and quantizing must each answer alike.
        threads: ONNX Runtime threads while latency is measured.
        batch_size: Rows of one call while latency is measured.
    """
    sessions = {name: load(graph, threads) for name, graph in graphs.items()}
    reference = next(each for each in candidates if each.name == budgets.REFERENCE)
    bench = _Bench(
        holdout,
        budget,
        min_agreement,
        torch_answers,
        reference,
        reference_answers=run_in_slices(sessions[reference.name], holdout.inputs),
        times=latency.interleaved(sessions, holdout.batch(batch_size)),
    )
    fp32 = {each.network.name: sessions[each.name] for each in candidates if each.scheme == FP32}
    golden_fp32 = {name: run_in_slices(session, golden(holdout.inputs)) for name, session in fp32.items()}
    found = [_measured(bench, each, graphs[each.name], sessions[each.name], golden_fp32) for each in candidates]
    judged = [budgets.judged(measurement, budget) for measurement in found]
    return with_front(judged, budgets.metric_of(holdout.schema.task))


def _measured(
    bench: _Bench, candidate: Candidate, graph: bytes, session: Session, golden_fp32: Mapping[str, Answers]
) -> Measurement:
    """One candidate in figures, against dense fp32; the limits are not looked at yet."""
    holdout, reference, network = bench.holdout, bench.reference, candidate.network.name
    answers = run_in_slices(session, holdout.inputs)
    score = scoring.score(answers, holdout.target, holdout.schema.labels)
    drop, interval = scoring.drop(answers, bench.reference_answers, holdout.target, holdout.schema.labels)
    alike = agreement(answers, bench.torch_answers[network], holdout.encoding)
    chain = Chain(
        network=golden(bench.torch_answers[network]),
        candidate=golden(answers),
        dense=golden(bench.torch_answers[DENSE]) if network != DENSE else None,
        graph=golden_fp32.get(network),
        quantized=candidate.scheme != FP32,
    )
    time, dense_time = bench.times[candidate.name], bench.times[reference.name]
    return Measurement(
        name=candidate.name,
        metric=score.value,
        metric_low=score.low,
        metric_high=score.high,
        drop=drop,
        drop_low=interval.low,
        drop_high=interval.high,
        size_bytes=candidate.file.size_bytes,
        compressed_bytes=compressed_size(graph),
        p50_ms=time.p50_ms,
        p95_ms=time.p95_ms,
        parity=alike.share,
        largest_difference=alike.largest_difference,
        compression_rate_parameters=1 - candidate.network.parameters / reference.network.parameters,
        compression_rate_bytes=1 - candidate.file.size_bytes / reference.file.size_bytes,
        speed_up=dense_time.p50_ms / time.p50_ms,
        within_budget=True,
        unfused_pairs=unfused_pairs(graph) if chain.quantized else 0,
        hops=ledger(chain, holdout.encoding, bench.min_agreement),
    )
