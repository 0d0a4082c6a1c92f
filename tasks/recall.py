"""Work that was done before is not done again: a step is looked up by what it depends on, before it runs.

Around a step's body, inside its task: key, look up, else run, measure, keep. What a step tells MLflow and Prefect it
tells in `tell`, which a hit calls as well, so that a run that repeated nothing reads like one that did.
"""

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, wraps
from typing import Any, TypeVar, get_type_hints

from prefect.context import TaskRunContext
from prefect.states import Completed
from pydantic import TypeAdapter, ValidationError

from tasks.contracts.artifacts import Network, Run
from tasks.contracts.result import Result
from tasks.stores import checkpoints, tracking
from tasks.stores.failpoints import failpoint
from tasks.stores.ingredients import key_of, parts_of
from tasks.stores.measuring import metered
from tasks.stores.results import find_result, keep_result, note_latest, stands
from tasks.stores.s3 import Store

Value = TypeVar("Value")
SWITCH = "INGOT_RECALL"
"""0 does every step again; what it comes to is kept over what was there."""


def nothing(**_: Any) -> Mapping[str, str]:
    """No part of a key beside arguments, code and libraries."""
    return {}


@dataclass(frozen=True)
class Recall:
    """How a step is remembered.

    Attributes:
        also: More parts of the key, from the step's arguments; None if nobody can tell, then the step is done.
        tell: Called with the value and the arguments, whether the step was done or not.
        measures: Whether the result holds for this CPU alone.
        curves: The prefix of the epochs that the step logs, as its arguments fill it: `train`, `{plan.name}`; a hit
            copies them from the run that trained.
    """

    also: Callable[..., Mapping[str, str] | None] = nothing
    tell: Callable[..., None] | None = None
    measures: bool = False
    curves: str = ""


def remembered(body: Callable[..., Value], *, step: str, run_name: str | None, recall: Recall) -> Callable[..., Value]:
    """The body of a step that looks up what it came to before."""

    @wraps(body)
    def call(*arguments: Any, **named: Any) -> Any:
        given = arguments_of(body, arguments, named)
        run: Run = given["run"]
        store, parts = Store.from_environment(run.bucket, run.prefix), parts_for(body, recall, given)
        if parts is None:
            value = body(**given)
            _tell(recall, value, given)
            return value
        key, name = key_of(step, parts), name_of(step, run_name, given)
        if (known := look_up(store, key, body)) is not None:
            _, value = known
            if checkpoints.folder_of(key).exists():  # of a run that was cut off once its result stood
                checkpoints.forget(store, key)
            note_latest(store, run.model_name, name, key)
            _tell_of_hit(recall, name, known, given)
            _tell(recall, value, given)
            return Completed(name="Cached", data=value) if TaskRunContext.get() else value
        failpoint(f"{step}.before_body")
        with metered() as meter:
            value = body(**{**given, "run": run.model_copy(update={"step_key": key})})
            cost = meter.read()
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        as_json = adapter(body).dump_python(value, mode="json")
        made = Result(
            step=step, name=name, parts=parts, value=as_json, cost=cost, mlflow_run_id=run.mlflow_run_id, time=now
        )
        failpoint(f"{step}.before_result")
        keep_result(store, key, made)
        failpoint(f"{step}.after_result")
        note_latest(store, run.model_name, name, key)
        checkpoints.forget(store, key)
        _tell(recall, value, given)
        return value

    call.recall = recall  # type: ignore[attr-defined]
    return call


def arguments_of(body: Callable[..., Any], arguments: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, defaults filled in."""
    bound = inspect.signature(body).bind(*arguments, **named)
    bound.apply_defaults()
    return dict(bound.arguments)


def name_of(step: str, run_name: str | None, given: Mapping[str, Any]) -> str:
    """What a run of a step is called."""
    return run_name.format(**given) if run_name else step


def parts_for(body: Callable[..., Any], recall: Recall, given: Mapping[str, Any]) -> dict[str, str] | None:
    """The parts of a step's key; None if nobody can tell whether its result would be the same."""
    more = recall.also(**given)
    if more is None:
        return None
    return {**parts_of(given, body.__module__), **more, **(_processor() if recall.measures else {})}


def _processor() -> dict[str, str]:
    from tasks.runtime import cpu

    return {"cpu": " ".join((cpu.model(), *cpu.flags()))}


def look_up(store: Store, key: str, body: Callable[..., Value]) -> tuple[Result, Value] | None:
    """What a step came to under a key, if all that it names still stands."""
    result = find_result(store, key) if os.environ.get(SWITCH, "1") != "0" else None
    if result is None:
        return None
    try:
        value = adapter(body).validate_python(result.value)
    except ValidationError:
        return None
    return (result, value) if stands(store, value) else None


@cache
def adapter(body: Callable[..., Any]) -> TypeAdapter[Any]:
    """What reads and writes the value of a step."""
    return TypeAdapter(get_type_hints(body)["return"])


def _tell(recall: Recall, value: Any, given: Mapping[str, Any]) -> None:
    if recall.tell is not None:
        recall.tell(value, **given)


def _tell_of_hit(recall: Recall, name: str, known: tuple[Result, Any], given: Mapping[str, Any]) -> None:
    """Says in MLflow whose work this is, and copies its curves."""
    run: Run = given["run"]
    result, value = known
    if result.mlflow_run_id == run.mlflow_run_id:
        return
    tracking.set_tags(run.mlflow_run_id, {f"cached.{name}": result.mlflow_run_id or "a run without MLflow"})
    if recall.curves:
        last = value.epochs or None if isinstance(value, Network) else None
        tracking.copy_curves(result.mlflow_run_id, run.mlflow_run_id, recall.curves.format(**given), last)
