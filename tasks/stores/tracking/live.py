"""Which runs are under way: what they put into the store must not be collected."""

from datetime import UTC, datetime
from typing import NamedTuple

from tasks.stores.tracking.client import answered, client


class LiveRun(NamedTuple):
    """A run that has not ended."""

    run_id: str
    name: str
    start: datetime


def oldest_live_run() -> LiveRun | None:
    """The run of any experiment that has been under way for longest.

    Raises:
        UnavailableError: MLflow does not answer.
    """
    mlflow = client()
    with answered():
        from mlflow.entities import ViewType

        experiments = [each.experiment_id for each in mlflow.search_experiments(ViewType.ALL)]
        query = "attributes.status = 'RUNNING'"
        found = mlflow.search_runs(experiments, query, max_results=1, order_by=["attributes.start_time ASC"])
    if not found:
        return None
    info = found[0].info
    return LiveRun(info.run_id, info.run_name or "", datetime.fromtimestamp(info.start_time / 1000, UTC))
