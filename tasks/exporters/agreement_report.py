"""What a reconciliation shows: a table in the Prefect UI, and the same as lines of text."""

from collections.abc import Sequence

from tasks.contracts.agreement import Agreement
from tasks.contracts.errors import IntegrityError

HEADINGS = ("model", "version", "what", "found", "done")


def show(agreements: Sequence[Agreement]) -> None:
    """Leaves an artifact in the Prefect UI."""
    from prefect.artifacts import create_markdown_artifact

    create_markdown_artifact(key="reconciliation", markdown=markdown(agreements), description=summary(agreements))


def unmended(agreements: Sequence[Agreement]) -> None:
    """Fails where somebody must do something.

    Raises:
        IntegrityError: the message names the first thing.
    """
    left = [(agreement, f) for agreement in agreements for f in agreement.findings if not f.mended]
    if left:
        agreement, first = left[0]
        more = f"; {len(left) - 1} more in the report" if len(left) > 1 else ""
        raise IntegrityError(f"model {agreement.model!r}: {first.found}: {first.done}{more}")


def rows(agreements: Sequence[Agreement]) -> list[tuple[str, ...]]:
    """One row a finding."""
    return [(a.model, f.version, f.kind, f.found, f.done) for a in agreements for f in a.findings]


def summary(agreements: Sequence[Agreement]) -> str:
    """One line over all models.

    >>> summary([Agreement(model="digits")])
    '1 model: all agree with the journal'
    """
    findings = [finding for agreement in agreements for finding in agreement.findings]
    left = sum(not finding.mended for finding in findings)
    models = f"{len(agreements)} model{'' if len(agreements) == 1 else 's'}"
    if not findings:
        return f"{models}: all agree with the journal"
    return f"{models}: {len(findings)} found, {len(findings) - left} settled, {left} left to do"


def markdown(agreements: Sequence[Agreement]) -> str:
    """The report as Markdown."""
    lines = [f"# {summary(agreements)}", ""]
    table = rows(agreements)
    if table:
        lines += [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
        lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in table]
    champions = (f"{a.model} {a.champion} (entry {a.seq})" for a in agreements if a.champion)
    return "\n".join([*lines, "", f"Champions: {', '.join(champions) or 'none'}"])
