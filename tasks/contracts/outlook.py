"""What a retraining would do, before it does it."""

from typing import Literal

from tasks.contracts.record import Record
from tasks.contracts.result import Cost


class Expectation(Record):
    """What would become of one step."""

    name: str
    state: Literal["kept", "runs", "follows"]
    """Its result is there; it would be done; or it depends on what comes out of one that would be done."""
    changed: tuple[str, ...] = ()
    """For a step that runs: which parts of its key differ from the last time, old value and new."""
    cost: Cost | None = None
    """What it took when it was last done."""


class Outlook(Record):
    """What a retraining would do."""

    model: str
    version: str = ""
    """The version that stands already; then nothing would be done and nothing published."""
    steps: tuple[Expectation, ...]

    @property
    def seconds(self) -> float | None:
        """How long the steps to be done took the last time, all together; None if one was never done."""
        coming = [step.cost for step in self.steps if step.state != "kept"]
        return None if any(cost is None for cost in coming) else sum(cost.seconds for cost in coming if cost)

    def to_markdown(self) -> str:
        """The outlook as a table."""
        lines = ["| step | | last time | changed |", "|---|---|---|---|"]
        for step in self.steps:
            took = f"{step.cost.seconds:.1f} s" if step.cost else ""
            lines.append(f"| {step.name} | {step.state} | {took} | {'; '.join(step.changed)} |")
        return "\n".join(lines)
