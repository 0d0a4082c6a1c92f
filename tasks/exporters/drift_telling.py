"""Where a drift report goes: an MLflow run in the model's experiment, an artifact in the Prefect UI, an event."""

import getpass
from typing import Any

from tasks.contracts.drift import DriftReport
from tasks.contracts.errors import InputError, UnavailableError
from tasks.exporters import drift_report, events
from tasks.stores import tracking

MOST_COLUMNS = 50


def tell(report: DriftReport, flow_run_id: str = "", flow_run_url: str = "") -> DriftReport:
    """Keeps the report in MLflow, shows it in Prefect, and tells of drift; nothing is told where there is none.

    Args:
        report: What was found.
        flow_run_id: Of the Prefect flow run; empty shows nothing in Prefect.
        flow_run_url: Its page.

    Returns:
        The report, with a note if MLflow or Prefect did not take it.
    """
    figure = drift_report.picture(report)
    run_url, notes = "", list(report.notes)
    try:
        run_url = _track(report, figure, flow_run_id, flow_run_url)
    except (UnavailableError, InputError) as error:
        notes.append(f"MLflow does not have this report: {error}")
    if report.drifted:
        names = [column.name[:200] for column in drift_report.in_order(report.columns) if column.drifted]
        facts: dict[str, Any] = {
            "version": report.version,
            "columns": names[:MOST_COLUMNS],
            "rows": report.rows,
            "report": run_url,
        }
        if not events.tell(events.DRIFTED, report.model, report.reason, **facts):
            notes.append("Prefect was not told: no run starts on this")
    report = report.model_copy(update={"notes": tuple(notes)})
    if flow_run_id:
        _show(report, run_url, figure)
    return report


def _track(report: DriftReport, figure: Any, flow_run_id: str, flow_run_url: str) -> str:
    """The address of the run that keeps the report."""
    tags = {
        "kind": "drift",
        "drifted": str(report.drifted).lower(),
        "reason": report.reason,
        "champion.version": report.version,
        "champion.manifest": report.manifest_sha256,
        "prefect.flow_run_id": flow_run_id,
        "prefect.flow_run_url": flow_run_url,
        "actor": getpass.getuser(),
    }
    params = {"source": report.source, "version": report.version}
    run_id = tracking.open_run(report.model, f"drift-{report.model}", params, tags)
    try:
        tracking.log_metrics(run_id, drift_report.figures(report))
        tracking.log_text(run_id, report.model_dump_json(indent=1), "report.json")
        tracking.log_text(run_id, drift_report.markdown(report), "report.md")
        if figure is not None:
            tracking.log_figure(run_id, figure, "plots/drift.png")
        url = tracking.run_url(run_id)
    except BaseException:
        tracking.close_run(run_id, "FAILED")
        raise
    tracking.close_run(run_id)
    return url


def _show(report: DriftReport, run_url: str, figure: Any) -> None:
    from prefect.artifacts import create_markdown_artifact

    from tasks.exporters import ui_report

    picture = drift_report.png(figure) if figure is not None else b""
    ui_report.leave(
        create_markdown_artifact,
        key=f"{ui_report.key_of(report.model)}-drift",
        markdown=drift_report.markdown(report, run_url, picture),
        description=report.reason,
    )
