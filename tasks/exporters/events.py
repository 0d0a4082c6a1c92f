"""What becomes of a model, told to Prefect: its automations start runs and send notifications on these events."""

from threading import Thread
from typing import Any

REASON_CHARACTERS = 500
DELIVERY_SECONDS = 30.0


def emit(event: str, model: str, reason: str, **facts: Any) -> None:
    """Sends an event about a model, without waiting; never fails a run, and does nothing where no server is named.

    Args:
        event: As `ingot.version.promoted`.
        model: Its name; the event's resource is `ingot.model.<name>`.
        reason: Why, in one line.
        facts: More of the payload; plain JSON.
    """
    from prefect.events import emit_event
    from prefect.exceptions import EventTooLarge
    from prefect.logging import get_logger
    from prefect.runtime import flow_run
    from prefect.settings import PREFECT_API_URL
    from prefect.utilities.urls import url_for

    if not PREFECT_API_URL.value():
        return
    line = " ".join(reason.split())[:REASON_CHARACTERS]
    try:
        url = url_for("flow-run", flow_run.id, url_type="ui") if flow_run.id else ""
        payload = {**facts, "model": model, "reason": line, "url": url or ""}
        resource = {"prefect.resource.id": f"ingot.model.{model}", "prefect.resource.name": model}
        emit_event(event, resource=resource, payload=payload)
    except (ValueError, RuntimeError, EventTooLarge) as error:
        get_logger("ingot.events").warning("%s of %s was not told: %s", event, model, error)


def delivered(seconds: float = DELIVERY_SECONDS) -> bool:
    """Waits until the events of this process have left it; False if they did not in time."""
    from prefect.events.worker import EventsWorker
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        return True
    waiting = Thread(target=EventsWorker.instance().wait_until_empty, daemon=True)
    waiting.start()
    waiting.join(seconds)
    return not waiting.is_alive()
