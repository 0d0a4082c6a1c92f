"""What a run shows in the Prefect UI: the candidates, the winner's parity, its other formats, as artifacts."""

from collections.abc import Sequence

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.context import TaskRunContext

from tasks.contracts.artifacts import ExtraFormat, Measurement, Run, Verdict
from tasks.exporters.card import dropped_list, formats_table, ledger_table


def show(run: Run, verdict: Verdict) -> None:
    """What evaluation found; nothing where no task run is under way, as in `ingot compress`."""
    if TaskRunContext.get() is None:
        return
    key = _key(run)
    winner = verdict.winner.name
    rows = [_row(m, winner=m.name == winner) for m in verdict.measurements]
    create_table_artifact(key=f"{key}-candidates", table=rows, description=verdict.reason)
    lines = [f"# Parity of {winner}", "", *ledger_table(verdict.winning)]
    if verdict.dropped:
        lines += ["", "# Given up on the way", "", *dropped_list(verdict)]
    create_markdown_artifact(key=f"{key}-parity", markdown="\n".join(lines), description=f"Winner: {winner}")


def show_formats(run: Run, formats: Sequence[ExtraFormat]) -> None:
    """What conversion made; nothing where no task run is under way."""
    if TaskRunContext.get() is not None:
        create_markdown_artifact(key=f"{_key(run)}-formats", markdown="\n".join(formats_table(formats)))


def show_data(run: Run, report: str) -> None:
    """What ingest found in the data; nothing where no task run is under way."""
    if TaskRunContext.get() is not None:
        create_markdown_artifact(key=f"{_key(run)}-data", markdown=report, description="The data of this run")


def _key(run: Run) -> str:
    """Prefect's keys know no underscore."""
    return run.model_name.replace("_", "-")


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
