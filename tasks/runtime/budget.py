"""The budget: which limits a candidate breaks, and which candidate wins.

By default the smallest file inside the budget wins. Sizes and metrics are the same in every run, so the winner is too;
latency, which is noisy, chooses only where it is preferred, and shuts out only where it is limited or preferred.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tasks.contracts.verdict import Hop, Measurement

REFERENCE = "dense/none"
"""Dense fp32: what every other candidate is held against, and what is published when none keeps the budget."""
SAME_SPEED = 1.05
"""Medians closer than this factor are not told apart: the smaller file wins then."""
_LEAST_DROP = 0.1
"""What an excess over max_drop is a share of, at least: so that 0 can be weighed against other limits."""


@dataclass(frozen=True)
class Budget:
    """What a candidate may cost; None sets no limit."""

    max_drop: float
    """Percentage points of accuracy, or per cent of RMSE, below dense fp32."""
    max_size_bytes: int | None = None
    max_p95_ms: float | None = None
    prefer: Literal["size", "transit", "latency"] = "size"
    """What decides between those inside."""

    @property
    def latency_matters(self) -> bool:
        """Whether a candidate slower than dense fp32 is out."""
        return self.max_p95_ms is not None or self.prefer == "latency"


class Excess(NamedTuple):
    """A limit that is broken."""

    share: float
    """By how much, as a share of the limit."""
    sentence: str


class Choice(NamedTuple):
    """What is left to publish."""

    winner: Measurement
    reason: str
    """Why, in one sentence."""
    inside: bool
    """Whether it keeps the budget."""


def metric_of(task: Literal["classification", "regression"]) -> Literal["accuracy", "rmse"]:
    """The main metric of a task."""
    return "accuracy" if task == "classification" else "rmse"


def drop(metric_name: Literal["accuracy", "rmse"], metric: float, reference: float) -> float:
    """How much worse than the reference: points of accuracy, or per cent of RMSE.

    >>> round(drop("accuracy", 0.97, 0.98), 6), round(drop("rmse", 110.0, 100.0), 6)
    (1.0, 10.0)
    """
    if metric_name == "accuracy":
        return 100 * (reference - metric)
    return 100 * (metric - reference) / reference if reference else 0.0 if metric == reference else float("inf")


def judged(m: Measurement, budget: Budget) -> Measurement:
    """The measurement with the limits that it breaks."""
    broken = tuple(excess.sentence for excess in excesses(m, budget))
    return m.model_copy(update={"within_budget": not broken, "broken_limits": broken})


def excesses(m: Measurement, budget: Budget) -> tuple[Excess, ...]:
    """Each limit that a candidate breaks.

    A drop counts only if it is told from noise: if its paired interval lies above zero. Of the parity ledger the first
    hop that breaks its bound counts; what comes after it only inherits the fault.
    """
    found = (_parity(m.hops), _drop(m, budget.max_drop), _size(m, budget.max_size_bytes))
    return tuple(excess for excess in (*found, _p95(m, budget.max_p95_ms), _slower(m, budget)) if excess)


def choose(measurements: Sequence[Measurement], budget: Budget) -> Choice:
    """The winner; dense fp32 if none keeps the budget, and then also which limit failed of the one that came closest.

    Args:
        measurements: All candidates, judged; one is `dense/none`.
        budget: The limits, and what is preferred.
    """
    inside = [m for m in measurements if m.within_budget]
    if not inside:
        reference = next(m for m in measurements if m.name == REFERENCE)
        return Choice(reference, f"no candidate keeps the budget: {_closest(measurements, budget)}", False)
    winner, why = _preferred(inside, budget.prefer)
    return Choice(winner, f"{winner.name} is the {why} of {len(inside)} candidates inside the budget", True)


def _preferred(inside: Sequence[Measurement], prefer: Literal["size", "transit", "latency"]) -> tuple[Measurement, str]:
    """The name comes last, so that the winner does not depend on the order."""
    if prefer == "transit":
        return min(inside, key=lambda m: (m.compressed_bytes, m.size_bytes, m.name)), "smallest in transit"
    why = "smallest"
    if prefer == "latency":
        fastest = min(m.p50_ms for m in inside)
        inside, why = [m for m in inside if m.p50_ms <= SAME_SPEED * fastest], "fastest"
    return min(inside, key=lambda m: (m.size_bytes, m.compressed_bytes, m.name)), why


def _closest(measurements: Sequence[Measurement], budget: Budget) -> str:
    """The candidate whose worst excess is the least, and what it breaks."""

    def distance(m: Measurement) -> tuple[float, int, str]:
        return max((e.share for e in excesses(m, budget)), default=0.0), m.size_bytes, m.name

    closest = min(measurements, key=distance)
    return f"{closest.name} comes closest, but {'; '.join(closest.broken_limits)}"


def _parity(hops: Sequence[Hop]) -> Excess | None:
    """An unfaithful candidate is farther away than any that is merely too large or too slow."""
    hop = next((hop for hop in hops if not hop.passed), None)
    if hop is None:
        return None
    found = f"{hop.label_agreement:.4g} of the golden rows agree, largest difference {hop.largest_difference:.3g}"
    return Excess(float("inf"), f"parity breaks where it is {hop.name}, which must keep {hop.bound}, but {found}")


def _drop(m: Measurement, most: float) -> Excess | None:
    # Metrics are shares of whole rows: a drop that equals the limit must not fail by its last bit.
    if m.drop <= most + 1e-9 or m.drop_low <= 0:  # so written, a drop that is no number breaks it
        return None
    excess, interval = m.drop - most, f"95 % interval {m.drop_low:.3g} to {m.drop_high:.3g}"
    sentence = f"max_drop is {most:g}, but it loses {m.drop:.3g} ({interval}, above noise): {excess:.3g} too much"
    return Excess(excess / max(most, _LEAST_DROP), sentence)


def _size(m: Measurement, most: int | None) -> Excess | None:
    if most is None or m.size_bytes <= most:
        return None
    excess = m.size_bytes - most
    return Excess(excess / most, f"max_size_bytes is {most}, but it has {m.size_bytes}: {excess} too many")


def _p95(m: Measurement, most: float | None) -> Excess | None:
    if most is None or m.p95_ms <= most:
        return None
    excess = m.p95_ms - most
    return Excess(excess / most, f"max_p95_ms is {most:g}, but it takes {m.p95_ms:.3g}: {excess:.3g} too long")


def _slower(m: Measurement, budget: Budget) -> Excess | None:
    if not budget.latency_matters or m.speed_up >= 1:
        return None
    dense_ms = m.p50_ms * m.speed_up
    sentence = f"p50 is {m.p50_ms:.3g} ms, but dense fp32 takes {dense_ms:.3g}: slower never wins"
    return Excess(1 / m.speed_up - 1, sentence)
