"""Challenger against champion, on the same rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tasks.contracts.artifacts import Artifact
from tasks.contracts.manifest import Manifest
from tasks.datasets.reader import Rows
from tasks.runtime import scoring
from tasks.runtime.session import load
from tasks.runtime.slices import run_in_slices


@dataclass(frozen=True)
class Decision:
    """Whether the challenger becomes champion, and why in one sentence."""

    promoted: bool
    reason: str


def decide(
    policy: Literal["if_better", "always", "never"],
    margin: float,
    *,
    challenger: Manifest,
    champion: Manifest | None,
    fetch: Callable[[Artifact], bytes],
    rows: Rows,
) -> Decision:
    """Apply the policy; under if_better the gain must exceed the margin and its paired 95 % interval must exceed zero.

    Args:
        policy: The rule.
        margin: In percentage points of accuracy, or per cent of RMSE.
        challenger: Its manifest.
        champion: The manifest of the champion; None if there is none.
        fetch: Reads an artifact.
        rows: The challenger's test split, on which both are scored.
    """
    if policy == "never":
        return Decision(False, "promote.policy is never")
    if champion is None:
        return Decision(True, "it is the first version")
    if policy == "always":
        return Decision(True, "promote.policy is always")
    if champion.signature != challenger.signature:
        return Decision(
            False,
            "its inputs or labels differ from the champion's, so the two cannot be compared: set promote.policy=always",
        )
    ours, theirs = (run_in_slices(load(fetch(manifest.graph)), rows.inputs) for manifest in (challenger, champion))
    labels = challenger.signature.labels
    gain, interval = scoring.gain(ours, theirs, rows.target, labels)
    unit = "points of accuracy" if labels else "% of RMSE"
    figures = f"{gain:+.3g} {unit} (95 % interval {interval.low:+.3g} to {interval.high:+.3g}) against the champion"
    if gain > margin and interval.low > 0:
        return Decision(True, f"better: {figures}")
    return Decision(False, f"not surely better: {figures}, margin {margin:g}")
