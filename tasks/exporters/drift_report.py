"""A drift report as it is read: Markdown with a table, a picture of what drifted most, figures for MLflow."""

import base64
import io
import re
from collections.abc import Sequence
from typing import Any

from tasks.contracts.drift import ColumnDrift, DriftReport

HEADINGS = ("column", "role", "drifted", "PSI", "distance", "p", "missing before", "missing now", "unseen", "why")
MOST_ROWS = 200
MOST_PLOTS = 6


def in_order(columns: Sequence[ColumnDrift]) -> list[ColumnDrift]:
    """What drifted first, then by PSI."""
    return sorted(columns, key=lambda column: (not column.drifted, -column.psi))


def rows(report: DriftReport) -> list[tuple[str, ...]]:
    """One row a column, worst first; each as wide as `HEADINGS`."""
    return [
        (
            column.name,
            column.role,
            "yes" if column.drifted else "",
            f"{column.psi:.3f}",
            f"{column.test} {column.statistic:.3f}",
            f"{column.p_value:.2g}",
            f"{column.missing_before:.1%}",
            f"{column.missing_now:.1%}",
            f"{column.unseen:.1%}",
            "; ".join(column.findings),
        )
        for column in in_order(report.columns)
    ]


def summary(report: DriftReport) -> str:
    """One line: who was compared with what."""
    part = "" if report.compared_rows == report.rows else f" (of {report.rows})"
    return (
        f"{report.model} version {report.version}: {report.compared_rows} rows{part} of {report.source} against "
        f"{report.reference_rows} training rows"
    )


def markdown(report: DriftReport, run_url: str = "", picture: bytes = b"") -> str:
    """The report as Markdown.

    Args:
        report: What was found.
        run_url: Of the MLflow run that keeps it, if any.
        picture: A PNG to show in it, if any.
    """
    table = rows(report)
    title = "Drift" if report.drifted else "No drift"
    lines = [f"# {title}: {_cell(report.reason)}", "", _cell(summary(report)), ""]
    lines += [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in table[:MOST_ROWS]]
    if len(table) > MOST_ROWS:
        lines += ["", f"{len(table) - MOST_ROWS} columns more are in report.json of the MLflow run."]
    lines += [line for note in report.notes for line in ("", _cell(note))]
    if run_url:
        lines += ["", f"[MLflow run]({run_url})"]
    if picture:
        lines += ["", f"![Most drifted columns](data:image/png;base64,{base64.b64encode(picture).decode()})"]
    return "\n".join(lines) + "\n"


def figures(report: DriftReport) -> dict[str, float]:
    """Metrics for MLflow: PSI, distance and corrected p of each column, and how many drifted.

    Characters that MLflow's names do not know become `_`; names that are then alike are numbered.
    """
    found = {"drift.columns": float(sum(column.drifted for column in report.columns)), "drift.rows": float(report.rows)}
    for column in report.columns:
        name = re.sub(r"[^\w.\- ]", "_", column.name if column.role != "prediction" else "prediction")[:200]
        end, count = name, 1
        while f"psi.{end}" in found:
            count += 1
            end = f"{name} {count}"
        found |= {f"psi.{end}": column.psi, f"distance.{end}": column.statistic, f"p.{end}": column.p_value}
    return found


def picture(report: DriftReport) -> Any:
    """A matplotlib figure: before and now of the columns that moved most, at most six; None if nothing can be drawn."""
    from matplotlib.figure import Figure

    shown = [column for column in in_order(report.columns) if column.histogram.before][:MOST_PLOTS]
    if not shown:
        return None
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(4.2 * across, 3.0 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).reshape(-1)
    for axes, column in zip(panels, shown, strict=False):
        _draw(axes, column)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    panels[0].legend()
    return figure


def png(figure: Any) -> bytes:
    """The bytes of a figure."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=80)
    return content.getvalue()


def _draw(axes: Any, column: ColumnDrift) -> None:
    """Two overlaid histograms, or pairs of bars."""
    bars = column.histogram
    mark = "drifted" if column.drifted else "no drift"
    if bars.edges:
        axes.stairs(bars.before, bars.edges, fill=True, alpha=0.5, label="training")
        axes.stairs(bars.now, bars.edges, fill=True, alpha=0.5, label="new")
    else:
        places = range(len(bars.values))
        axes.bar([place - 0.2 for place in places], bars.before, 0.4, label="training")
        axes.bar([place + 0.2 for place in places], bars.now, 0.4, label="new")
        axes.set_xticks(places, [_plain(value, 12) for value in bars.values], rotation=45, ha="right", fontsize=7)
    axes.set_title(f"{_plain(column.name, 30)}: {mark}, PSI {column.psi:.2f}", fontsize=9)
    axes.set_ylabel("share of rows", fontsize=8)


def _plain(text: str, most: int) -> str:
    """A short text without control characters; a dollar sign would begin a formula."""
    return "".join(c if c.isprintable() else " " for c in text[:most]).replace("$", r"\$")


def _cell(text: str) -> str:
    """One line that ends no cell and begins no tag or link."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", line)
