"""What our automations say, rendered as Prefect's server renders them."""

import json
from types import SimpleNamespace
from uuid import uuid4

import pytest
from prefect.server.events.actions import JinjaTemplateAction
from prefect.server.utilities.user_templates import render_user_template_sync

from deployments.local.automations import _notification, wanted_automations
from tests.deployments.local.servers import answering

NASTY = 'worse\nby "3"\r points </b> {{ 7 * 7 }}' + "!" * 999


def rendered(template, **context):
    JinjaTemplateAction.validate_template(template, "body")
    return render_user_template_sync(template, context)


@pytest.mark.parametrize("kind", ["rejected", "drifted", "promoted"])
def test_a_notification_says_model_and_reason_in_one_line_with_a_link(kind):
    event = SimpleNamespace(payload={"model": "digits", "reason": NASTY, "url": "http://x/runs/1"})
    (action,) = _notification(kind, "slack-webhook/team", uuid4()).actions
    assert rendered(action.subject, event=event) == f"digits: {kind}"
    body = rendered(action.body, event=event)
    assert body.startswith(f'digits {kind}: worse by "3"  points') and body.endswith(" (http://x/runs/1)")
    assert len(body.splitlines()) == 1 and len(body) < 400 and "{{ 7 * 7" in body
    bare = rendered(action.body, event=SimpleNamespace(payload={}))
    assert bare.endswith("no reason given")


def test_a_plain_webhook_is_sent_valid_json_whatever_the_reason():
    event = SimpleNamespace(payload={"model": "digits", "reason": NASTY})
    (action,) = _notification("promoted", "webhook/ops", uuid4()).actions
    sent = json.loads(rendered(action.payload, event=event))
    assert sent["subject"] == "digits: promoted" and 'worse by "3"' in sent["body"]


def test_only_deployments_that_retrain_get_triggers(monkeypatch):
    monkeypatch.delenv("INGOT_NOTIFY", raising=False)
    config = {"config": {"model_name": "m", "ingest": {"source": "x.csv"}}}
    entries = [
        {"name": "a", "entrypoint": "flows.retrain.retrain", "parameters": config, "id": str(uuid4())},
        {"name": "b", "entrypoint": "flows.promote.promote_version", "parameters": config, "id": str(uuid4())},
        {"name": "c", "entrypoint": "flows.retrain.retrain", "parameters": {"config": 3}, "id": str(uuid4())},
        {"name": "d", "entrypoint": None, "parameters": {}, "id": str(uuid4())},
    ]
    with answering({"POST /api/deployments/filter": (200, entries)}) as (url, _):
        names = [automation.name for automation in wanted_automations(f"{url}/api")]
    assert names == ["ingot-zombies", "ingot-drift-a", "ingot-new-data-a"]
