"""What becomes of a model, told to Prefect: its automations start runs and send notifications on these events."""

from typing import Any

PROMOTED, REJECTED = "ingot.version.promoted", "ingot.version.rejected"
DRIFTED, CHANGED = "ingot.drift.detected", "ingot.data.changed"
REASON_CHARACTERS = 500
DEPLOYMENT = "ingot.deployment"
"""Label of an event's resource, where it concerns one deployment of a model alone."""


def emit(event: str, model: str, reason: str, **facts: Any) -> None:
    """Sends an event about a model, without waiting; never fails a run, and does nothing where no server is named.

    Args:
        event: As `PROMOTED`.
        model: Its name; the event's resource is `ingot.model.<name>`.
        reason: Why, in one line.
        facts: More of the payload; plain JSON.
    """
    from prefect.events import emit_event
    from prefect.exceptions import EventTooLarge

    if not _is_heard():
        return
    try:
        emit_event(**_parts(event, model, reason, facts))
    except (ValueError, RuntimeError, EventTooLarge) as error:
        _warn(event, model, error)


def tell(event: str, model: str, reason: str, deployment: str = "", **facts: Any) -> bool:
    """Sends an event on which runs start, and waits until the server has it; False if it does not take it.

    Args:
        event: As `CHANGED`.
        model: Its name; the event's resource is `ingot.model.<name>`.
        reason: Why, in one line.
        deployment: Which one of the model's it concerns; empty is any.
        facts: More of the payload; plain JSON.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.events import Event
    from prefect.runtime import flow_run

    if not _is_heard():
        return True
    try:
        made = Event.model_validate(_parts(event, model, reason, facts, deployment) | _cause(str(flow_run.id or "")))
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[made.model_dump(mode="json")])
    except (httpx.HTTPError, RuntimeError, ValueError) as error:
        _warn(event, model, error)
        return False
    return True


def _is_heard() -> bool:
    from prefect.settings import PREFECT_API_URL

    return bool(PREFECT_API_URL.value())


def _parts(event: str, model: str, reason: str, facts: dict[str, Any], deployment: str = "") -> dict[str, Any]:
    from prefect.runtime import flow_run
    from prefect.utilities.urls import url_for

    url = url_for("flow-run", flow_run.id, url_type="ui") if flow_run.id else ""
    line = " ".join(reason.split())[:REASON_CHARACTERS]
    payload = {**facts, "model": model, "reason": line, "url": url or ""}
    resource = {"prefect.resource.id": f"ingot.model.{model}", "prefect.resource.name": model}
    if deployment:
        resource[DEPLOYMENT] = payload["deployment"] = deployment
    return {"event": event, "resource": resource, "payload": payload}


def _cause(flow_run_id: str) -> dict[str, Any]:
    """The flow run that an event comes from, as Prefect's own sender adds it."""
    related = {"prefect.resource.id": f"prefect.flow-run.{flow_run_id}", "prefect.resource.role": "flow-run"}
    return {"related": [related]} if flow_run_id else {}


def _warn(event: str, model: str, error: Exception) -> None:
    from prefect.logging import get_logger

    get_logger("ingot.events").warning("%s of %s was not told: %s", event, model, error)
