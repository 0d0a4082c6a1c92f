"""What a run shows in the Prefect UI: candidates, their plot, the winner's parity, formats and inputs, as artifacts.

The latest artifact of a key is the model's latest; those of a run stand on the run's own page.
"""

import base64
import io
import re
from collections.abc import Callable, Sequence
from contextlib import suppress

import httpx
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import PrefectException

from tasks.contracts.artifacts import Run
from tasks.contracts.explanation import Explanation
from tasks.contracts.verdict import ExtraFormat, Measurement, Verdict
from tasks.exporters.card import dropped_list, formats_table, influence_table, ledger_table


def leave(create: Callable[..., object], **fields: object) -> None:
    """Leave an artifact, where a run is under way; a Prefect server that does not take it stops nothing.

    Args:
        create: One of Prefect's `create_..._artifact`.
        fields: Of it.
    """
    if TaskRunContext.get() or FlowRunContext.get():
        with suppress(httpx.HTTPError, PrefectException):
            create(**fields)


def show(run: Run, verdict: Verdict) -> None:
    """What evaluation found; nothing where no task run is under way, as in `ingot compress`."""
    if TaskRunContext.get() is None:
        return
    key = key_of(run.model_name)
    winner = verdict.winner.name
    rows = [_row(m, winner=m.name == winner) for m in verdict.measurements]
    leave(create_table_artifact, key=f"{key}-candidates", table=rows, description=verdict.reason)
    leave(create_markdown_artifact, key=f"{key}-pareto", markdown=_plot(verdict), description=verdict.reason)
    lines = [f"# Parity of {winner}", "", *ledger_table(verdict.winning)]
    if verdict.dropped:
        lines += ["", "# Given up on the way", "", *dropped_list(verdict)]
    leave(create_markdown_artifact, key=f"{key}-parity", markdown="\n".join(lines), description=f"Winner: {winner}")


def show_formats(run: Run, formats: Sequence[ExtraFormat]) -> None:
    """What conversion made; nothing where no task run is under way."""
    leave(create_markdown_artifact, key=f"{key_of(run.model_name)}-formats", markdown="\n".join(formats_table(formats)))


def show_explanation(run: Run, explanation: Explanation) -> None:
    """What drives the answers; nothing where no task run is under way."""
    markdown = "\n".join(["# What drives the answers", "", *influence_table(explanation)])
    said = f"What drives the answers: {explanation.method}"
    leave(create_markdown_artifact, key=f"{key_of(run.model_name)}-importance", markdown=markdown, description=said)


def show_data(run: Run, report: str) -> None:
    """What ingest found in the data; nothing where no task run is under way."""
    leave(
        create_markdown_artifact,
        key=f"{key_of(run.model_name)}-data",
        markdown=report,
        description="Columns and what is odd",
    )


def key_of(model: str) -> str:
    """What the keys of a model begin with: Prefect's know small letters, digits and dashes.

    >>> key_of("House_prices.v2")
    'house-prices-v2'
    """
    return re.sub(r"[^a-z0-9-]+", "-", model.lower())


def _plot(verdict: Verdict) -> str:
    """The Pareto plot as an image that stands in the Markdown itself: no other server is needed to see it."""
    from tasks.exporters.plots import pareto

    drawn = io.BytesIO()
    pareto(verdict.measurements, verdict.winner.name, verdict.metric_name).savefig(drawn, format="png", dpi=80)
    return f"![Candidates](data:image/png;base64,{base64.b64encode(drawn.getvalue()).decode()})"


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
