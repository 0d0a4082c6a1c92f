"""Runs that MLflow believes under way although whoever made them is gone. They would hold back the garbage for ever."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tasks.stores.tracking.client import answered, client

ENDED = "ingot.ended"
"""Tag of a run that its own process did not end: why it was."""
FLOW_RUN, FLOW_URL, PARENT = "prefect.flow_run_id", "prefect.flow_run_url", "mlflow.parentRunId"
SOURCE = "mlflow.source.name"
YOUNG_SECONDS = 300.0
"""A run this young is left alone: its process may be between two steps of starting or ending."""
LONE_SECONDS = 86400.0
"""A run of ours that no flow run made, such as a rebuilt version's, is under way for a day at most."""


class Phantom(NamedTuple):
    """A run that was ended."""

    run_id: str
    model: str
    name: str
    why: str


def end_phantoms(why_over: Callable[[str, str], str], model: str = "", young: float = YOUNG_SECONDS) -> list[Phantom]:
    """Ends runs of ours whose flow run is over, and the runs nested below them.

    Args:
        why_over: Told id and address of a flow run: why it is over; empty if it may live.
        model: Only its runs; empty takes all.
        young: Seconds during which a run is left alone.

    Raises:
        UnavailableError: MLflow does not answer.
    """
    runs = {run.info.run_id: run for run in _running(model) if run.data.tags.get(SOURCE) == "ingot"}
    limit = time.time() - young
    found: list[Phantom] = []
    ended: set[str] = set()
    for run_id, run in sorted(runs.items(), key=lambda each: PARENT in each[1].data.tags):  # parents first
        old = run.info.start_time / 1000 < limit
        why = _why(run, runs.keys() - ended, why_over) if old else ""
        if why:
            _end(run_id, why)
            ended.add(run_id)
            name = client().get_experiment(run.info.experiment_id).name
            found.append(Phantom(run_id, name, run.info.run_name or run_id, why))
    return found


def _why(run: Any, under_way: set[str], why_over: Callable[[str, str], str]) -> str:
    tags = run.data.tags
    if PARENT in tags:
        return "" if tags[PARENT] in under_way else "the run it belongs to has ended"
    if tags.get(FLOW_RUN):
        return why_over(tags[FLOW_RUN], tags.get(FLOW_URL, ""))
    lone = time.time() - run.info.start_time / 1000 > LONE_SECONDS
    return "no flow run made it, and it was under way for a day" if lone else ""


def _end(run_id: str, why: str) -> None:
    with answered():
        client().set_tag(run_id, ENDED, why)
        client().set_terminated(run_id, "KILLED")


def _running(model: str) -> Iterator[Any]:
    mlflow = client()
    with answered():
        if model:
            one = mlflow.get_experiment_by_name(model)
            experiments = [one.experiment_id] if one else []
        else:
            experiments = [each.experiment_id for each in mlflow.search_experiments()]
        token: str | None = ""
        while experiments and token is not None:
            page = mlflow.search_runs(experiments, "attributes.status = 'RUNNING'", page_token=token or None)
            yield from page
            token = page.token or None
