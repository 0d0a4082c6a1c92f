"""The budget: which limits a candidate breaks, and which candidate wins.

The winner is the smallest file inside the budget. Sizes and metrics are the same in every run, so the winner is too;
latency, which is noisy, only ever shuts candidates out, and only where a limit on it is set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.contracts.artifacts import Measurement

REFERENCE = "dense/none"
"""Dense fp32: what every other candidate is held against, and what is published when none keeps the budget."""


@dataclass(frozen=True)
class Budget:
    """What a candidate may cost; None sets no limit."""

    max_drop: float
    """Percentage points of accuracy, or per cent of RMSE, below dense fp32."""
    max_size_bytes: int | None = None
    max_p95_ms: float | None = None


def drop(metric_name: Literal["accuracy", "rmse"], metric: float, reference: float) -> float:
    """How much worse than the reference: points of accuracy, or per cent of RMSE.

    >>> round(drop("accuracy", 0.97, 0.98), 6), round(drop("rmse", 110.0, 100.0), 6)
    (1.0, 10.0)
    """
    if metric_name == "accuracy":
        return 100 * (reference - metric)
    return 100 * (metric - reference) / reference if reference else 0.0 if metric == reference else float("inf")


def broken_limits(
    budget: Budget, *, drop: float, size_bytes: int, p50_ms: float, p95_ms: float, reference_p50_ms: float
) -> tuple[str, ...]:
    """One sentence for each limit that is broken, with by how much."""
    broken = []
    # Metrics are shares of whole rows: a drop that equals the limit must not fail by its last bit.
    if drop > budget.max_drop + 1e-9:
        broken.append(
            f"max_drop is {budget.max_drop:g}, but it loses {drop:.3g}: {drop - budget.max_drop:.3g} too much"
        )
    if budget.max_size_bytes is not None and size_bytes > budget.max_size_bytes:
        excess = size_bytes - budget.max_size_bytes
        broken.append(f"max_size_bytes is {budget.max_size_bytes}, but it has {size_bytes}: {excess} too many")
    if budget.max_p95_ms is not None:
        if p95_ms > budget.max_p95_ms:
            excess_ms = p95_ms - budget.max_p95_ms
            broken.append(f"max_p95_ms is {budget.max_p95_ms:g}, but it takes {p95_ms:.3g}: {excess_ms:.3g} too long")
        if p50_ms > reference_p50_ms:
            broken.append(f"p50 is {p50_ms:.3g} ms, but dense fp32 takes {reference_p50_ms:.3g}: slower never wins")
    return tuple(broken)


def choose(measurements: Sequence[Measurement]) -> tuple[Measurement, str]:
    """The winner, and why in one sentence.

    Args:
        measurements: All candidates; one is `dense/none`.
    """
    inside = [m for m in measurements if m.within_budget]
    if inside:
        winner = min(inside, key=lambda m: (m.size_bytes, m.compressed_bytes, m.name))
        return winner, f"{winner.name} is the smallest of {len(inside)} candidates inside the budget"
    reference = next(m for m in measurements if m.name == REFERENCE)
    return reference, f"no candidate keeps the budget, so it is dense fp32: {'; '.join(reference.broken_limits)}"
