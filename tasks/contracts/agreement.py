"""What a reconciliation reports: where MLflow or the pointer said something else than the journal."""

from typing import Literal

from tasks.contracts.record import Record

Kind = Literal[
    "pointer", "version", "tags", "description", "stranger", "duplicate", "alias", "request", "broken", "run"
]


class Finding(Record):
    """One disagreement, and what became of it."""

    kind: Kind
    version: str = ""
    """The version it is about; empty where it is about the model."""
    found: str
    """What was wrong, in one sentence."""
    done: str
    """What was done about it, or must be."""
    mended: bool = True
    """Whether all is well now."""


class Agreement(Record):
    """One model after a reconciliation."""

    model: str
    champion: str = ""
    """The version that the journal names; empty if there is none."""
    seq: int = 0
    """The entry that made it champion."""
    findings: tuple[Finding, ...] = ()

    @property
    def granted(self) -> tuple[Finding, ...]:
        """The requests that made the champion."""
        return tuple(each for each in self.findings if each.kind == "request" and each.version == self.champion)

    @property
    def whole(self) -> bool:
        """Whether nothing is left that somebody must do."""
        return all(finding.mended for finding in self.findings)
