"""Drift: whether the data still are what the champion learned from."""

from datetime import UTC, datetime

from prefect import flow
from prefect.runtime import flow_run

from tasks.compare import compare
from tasks.contracts.config import DriftConfig
from tasks.contracts.drift import DriftReport


@flow(name="drift", flow_run_name="drift-{config.model_name}")
def drift(config: DriftConfig = DriftConfig()) -> DriftReport:
    """Compare new data, or what the server was asked, with the champion's training data; drift is told as an event.

    Args:
        config: What is compared, and what counts as drift.
    """
    from tasks.exporters.drift_telling import tell

    report = compare.submit(config, datetime.now(UTC).isoformat()).result()
    return tell(report, str(flow_run.id or ""), str(flow_run.ui_url or ""))
