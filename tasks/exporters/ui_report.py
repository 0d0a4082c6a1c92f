"""What evaluation shows in the Prefect UI: the table of candidates and the winner's parity, as artifacts of the run."""

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.context import TaskRunContext

from tasks.contracts.artifacts import Measurement, Run, Verdict
from tasks.exporters.card import ledger_table


def show(run: Run, verdict: Verdict) -> None:
    """Create the artifacts; nothing where no task run is under way, as in `ingot compress`."""
    if TaskRunContext.get() is None:
        return
    key = run.model_name.replace("_", "-")
    winner = verdict.winner.name
    rows = [_row(m, winner=m.name == winner) for m in verdict.measurements]
    create_table_artifact(key=f"{key}-candidates", table=rows, description=verdict.reason)
    dropped = [f"* `{each.name}` ({each.rung}): {each.reason}" for each in verdict.dropped]
    lines = [f"# Parity of {winner}", "", *ledger_table(verdict.winning)]
    if dropped:
        lines += ["", "# Given up on the way", "", *dropped]
    create_markdown_artifact(key=f"{key}-parity", markdown="\n".join(lines), description=f"Winner: {winner}")


def _row(m: Measurement, *, winner: bool) -> dict[str, str | float]:
    return {
        "candidate": m.name,
        "rank": "winner" if winner else "front" if m.on_front else "",
        "metric": round(m.metric, 5),
        "drop": f"{m.drop:.3g} ({m.drop_low:.3g} to {m.drop_high:.3g})",
        "bytes": m.size_bytes,
        "compressed": m.compressed_bytes,
        "p50 ms": round(m.p50_ms, 4),
        "p95 ms": round(m.p95_ms, 4),
        "unfused": m.unfused_pairs,
        "in budget": "yes" if m.within_budget else "; ".join(m.broken_limits),
    }
