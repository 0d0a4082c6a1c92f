"""What a flow run is called in Prefect, and so its run in MLflow."""

from datetime import UTC, datetime

from prefect.runtime import flow_run

from tasks.contracts.config import RetrainConfig


def run_name() -> str:
    """Model and the second it was due, in UTC, so that runs of one night are told apart and sort by themselves.

    A retry is due when its first try was, and keeps the name.
    """
    config = flow_run.parameters.get("config")
    form = config if isinstance(config, RetrainConfig) else RetrainConfig.model_validate(config or {})
    due = flow_run.scheduled_start_time or datetime.now(UTC)
    return named(form.model_name, due)


def named(model: str, due: datetime) -> str:
    """The name of a run.

    >>> named("digits", datetime(2026, 11, 25, 2, 10, 7, tzinfo=UTC))
    'digits-2026-11-25-021007'
    """
    return f"{model}-{due.astimezone(UTC):%Y-%m-%d-%H%M%S}"
