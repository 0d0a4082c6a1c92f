"""Prefect's automations that belong to us: what starts runs by itself, closes the dead ones, and notifies.

They are known by the tag `ingot` and names that begin with it, and settled like the deployments: what is missing is
made, what differs is changed, what nobody needs is deleted. The user's own are left alone, and so is a switch that he
turned off. Where INGOT_NOTIFY is not set at all, notifications stay as they are; empty, they are deleted.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx

from deployments.local.environment import WORK_POOL
from deployments.local.health import ask_prefect
from deployments.local.settings import read_settings
from tasks.contracts.errors import ConfigError, IngotError, UnavailableError
from tasks.exporters.deployments import watched_in
from tasks.exporters.events import CHANGED, DEPLOYMENT, DRIFTED, PROMOTED, REJECTED

if TYPE_CHECKING:
    from prefect.automations import AutomationCore, EventTrigger

NOTIFY = "INGOT_NOTIFY"
TAG = "ingot"
ZOMBIES = "ingot-zombies"
PAGE = 200
FLOWS = ["retrain", "promote", "reconcile", "watch", "drift", "compress"]
STARTERS = {"drift": DRIFTED, "new-data": CHANGED}
FAILURES = ("Failed", "Crashed", "TimedOut")
NEWS = {"rejected": REJECTED, "drifted": DRIFTED, "promoted": PROMOTED}
ONE_LINE = "|default('no reason given', true)|string|replace('\\r', ' ')|replace('\\n', ' ')|truncate(300)"
FAILED = (
    "{{ deployment.name }}: {{ flow_run.state.name|lower }}",
    "{{ deployment.name }}: {{ flow_run.state.message" + ONE_LINE + " }} ({{ flow_run|ui_url }})",
)


def wanted_blocks() -> tuple[str, ...]:
    """The notification blocks that INGOT_NOTIFY lists, as `type/name`."""
    return tuple(dict.fromkeys(name.strip() for name in os.environ.get(NOTIFY, "").split(",") if name.strip()))


def check_blocks(api_url: str) -> dict[str, UUID]:
    """The identifiers of the blocks that INGOT_NOTIFY lists.

    Raises:
        ConfigError: One of them is not there; the message lists those that are.
        UnavailableError: The server does not answer.
    """
    if not wanted_blocks():
        return {}
    known = _known_blocks(api_url)
    for name in wanted_blocks():
        if name not in known:
            there = ", ".join(sorted(known)) or "none; make one in the Prefect UI"
            raise ConfigError(f"{NOTIFY} has {name!r}, but must name notification blocks: known are {there}")
    return {name: known[name] for name in wanted_blocks()}


def settle(api_url: str) -> None:
    """Let the server have our automations as they must be; two that do so at once end with the same.

    Raises:
        ConfigError: INGOT_NOTIFY names a block that is not there.
        IngotError: The server refused one.
        UnavailableError: The server does not answer.
    """
    wanted = {automation.name: automation for automation in wanted_automations(api_url)}
    for entry in _ours(api_url):
        if entry["name"] not in wanted and not _is_kept(entry["name"]):
            _ask("DELETE", f"{api_url}/automations/{entry['id']}")
    standing = {entry["name"]: entry for entry in _ours(api_url)}
    for name, automation in wanted.items():
        if name not in standing:
            _ask("POST", f"{api_url}/automations/", automation.model_dump(mode="json"))
        elif not _alike(automation, standing[name]):
            body = automation.model_dump(mode="json", exclude={"owner_resource"}) | {
                "enabled": standing[name]["enabled"]
            }
            _ask("PUT", f"{api_url}/automations/{standing[name]['id']}", body)
    _delete_doubles(api_url)


def are_settled(api_url: str) -> bool:
    """Whether each automation that must be there is there.

    Raises:
        IngotError: The server does not answer, or INGOT_NOTIFY names a block that is not there.
    """
    return {name for each in _ours(api_url) if not _is_kept(name := each["name"])} == set(_names(api_url))


def wanted_automations(api_url: str) -> "list[AutomationCore]":
    """Our automations as they must be for the deployments that the server has, those made in the UI included."""
    blocks, kinds = check_blocks(api_url), ("failed", *NEWS)
    return [
        _zombies(),
        *(_starter(kind, *each) for each in _retraining(api_url) for kind in STARTERS),
        *(_notification(kind, name, block) for name, block in blocks.items() for kind in kinds),
    ]


def _names(api_url: str) -> Iterator[str]:
    yield ZOMBIES
    yield from (_starter_name(kind, name) for name, _, _ in _retraining(api_url) for kind in STARTERS)
    yield from (_notification_name(kind, block) for block in wanted_blocks() for kind in ("failed", *NEWS))


def _is_kept(name: str) -> bool:
    """Notifications stay while nobody says who is to be told: INGOT_NOTIFY may be set at one deploy alone."""
    return NOTIFY not in os.environ and name.startswith("ingot-notify-")


def _starter_name(kind: str, deployment: str) -> str:
    return f"ingot-{kind}-{deployment}"


def _notification_name(kind: str, block: str) -> str:
    return f"ingot-notify-{kind}-{block}"


def _automation(name: str, description: str, trigger: "EventTrigger", *actions: Any) -> "AutomationCore":
    from prefect.automations import AutomationCore

    return AutomationCore(name=name, description=description, tags=[TAG], trigger=trigger, actions=list(actions))


def _zombies() -> "AutomationCore":
    """A Prefect server that was away finds every run silent: one that lives is Crashed then, until it completes."""
    from prefect.automations import ChangeFlowRunState, EventTrigger, Posture
    from prefect.client.schemas.objects import StateType

    beat = "prefect.flow-run.heartbeat"
    ends = ("Completed", "Failed", "Crashed", "TimedOut", "Cancelled", "Paused", "Suspended", "Scheduled")
    silent = read_settings().silent_seconds
    trigger = EventTrigger(
        after={beat},
        expect={beat, *(f"prefect.flow-run.{state}" for state in ends)},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.role": "flow", "prefect.resource.name": FLOWS},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=silent),
    )
    reason = f"No heartbeat for {silent} s: its process is gone."
    action = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=reason)
    return _automation(ZOMBIES, "Closes runs whose process died without a word.", trigger, action)


def _starter(kind: str, deployment: str, model: str, deployment_id: UUID) -> "AutomationCore":
    from prefect.automations import EventTrigger, RunDeployment

    match: dict[str, str | list[str]] = {"prefect.resource.id": f"ingot.model.{model}"}
    if kind == "new-data":  # others may learn the same model from other sources
        match[DEPLOYMENT] = deployment
    trigger = EventTrigger(expect={STARTERS[kind]}, match=match)
    description = f"Runs {deployment} on {STARTERS[kind]} of {model}."
    return _automation(
        _starter_name(kind, deployment), description, trigger, RunDeployment(deployment_id=deployment_id)
    )


def _notification(kind: str, block: str, block_id: UUID) -> "AutomationCore":
    from prefect.automations import CallWebhook, EventTrigger, SendNotification

    if kind == "failed":
        trigger = EventTrigger(
            expect={f"prefect.flow-run.{state}" for state in FAILURES},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.role": "work-pool", "prefect.resource.name": WORK_POOL},
        )
        subject, body = FAILED
    else:
        trigger = EventTrigger(expect={NEWS[kind]}, match={"prefect.resource.id": "ingot.model.*"})
        subject = "{{ event.payload.model }}: " + kind
        body = "{{ event.payload.model }} " + kind + ": {{ event.payload.reason" + ONE_LINE + " }}"
        body += "{% if event.payload.url %} ({{ event.payload.url }}){% endif %}"
    if block.startswith("webhook/"):  # a plain webhook takes what it is given, a notification block writes it itself
        lines = "{% set subject %}" + subject + "{% endset %}{% set body %}" + body + "{% endset %}"
        payload = lines + '{"subject": {{ subject|tojson }}, "body": {{ body|tojson }}}'
        action: Any = CallWebhook(block_document_id=block_id, payload=payload)
    else:
        action = SendNotification(block_document_id=block_id, subject=subject, body=body)
    return _automation(_notification_name(kind, block), f"Tells {block} of what {kind}.", trigger, action)


def _retraining(api_url: str) -> list[tuple[str, str, UUID]]:
    """Name, model and identifier of each deployment that retrains."""
    found = _pages(f"{api_url}/deployments/filter", {})
    each = ((watched_in(e["name"], e["entrypoint"] or "", e["parameters"]), e["id"]) for e in found)
    return [(watched.deployment, watched.model, UUID(identifier)) for watched, identifier in each if watched]


def _known_blocks(api_url: str) -> dict[str, UUID]:
    url = f"{api_url}/block_documents/filter"
    notifying = _pages(url, {"block_schemas": {"block_capabilities": {"all_": ["notify"]}}})
    webhooks = _pages(url, {"block_types": {"slug": {"any_": ["webhook"]}}})
    named = (entry for entry in (*notifying, *webhooks) if entry["name"])
    return {f"{entry['block_type']['slug']}/{entry['name']}": UUID(entry["id"]) for entry in named}


def _ours(api_url: str) -> list[dict[str, Any]]:
    found = _pages(f"{api_url}/automations/filter", {})
    return [entry for entry in found if TAG in entry["tags"] and entry["name"].startswith(f"{TAG}-")]


def _alike(wanted: "AutomationCore", standing: Mapping[str, Any]) -> bool:
    from prefect.automations import AutomationCore

    found = AutomationCore.model_validate(dict(standing))
    fields = {"description", "trigger", "actions"}
    return wanted.model_dump(include=fields) == found.model_dump(include=fields)


def _delete_doubles(api_url: str) -> None:
    """Whoever made one last sees both: the one with the lowest identifier stays, whoever looks."""
    kept: set[str] = set()
    for entry in sorted(_ours(api_url), key=lambda entry: str(entry["id"])):
        if entry["name"] in kept:
            _ask("DELETE", f"{api_url}/automations/{entry['id']}")
        kept.add(entry["name"])


def _pages(url: str, body: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    offset = 0
    while page := _ask("POST", url, {**body, "limit": PAGE, "offset": offset}):
        yield from page
        if len(page) < PAGE:
            return
        offset += len(page)


def _ask(method: str, url: str, body: Mapping[str, Any] | None = None) -> Any:
    try:
        return ask_prefect(method, url, body)
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.NOT_FOUND and method in {"PUT", "DELETE"}:
            return None  # another deploy was faster
        answer = " ".join(error.response.text.split())[:300]
        raise IngotError(
            f"the Prefect server refused {method} {url} ({error.response.status_code}): {answer}"
        ) from error
    except httpx.HTTPError as error:
        raise UnavailableError(
            f"the Prefect server at {url} does not answer ({error}): start it, or correct PREFECT_API_URL"
        ) from error
