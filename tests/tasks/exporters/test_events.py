"""Events about models, as Prefect's own client would send them."""

import pytest
from prefect.events.clients import AssertingEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.exporters.events import emit, tell
from tests.deployments.local.servers import answering


def delivered():
    EventsWorker.instance().wait_until_empty()


@pytest.fixture
def sent():
    AssertingEventsClient.reset()
    EventsWorker.set_client_override(AssertingEventsClient)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        yield lambda: [event for client in AssertingEventsClient.all for event in client.events]
    EventsWorker.set_client_override(None)
    AssertingEventsClient.reset()


def test_an_event_names_the_model_and_the_reason_in_one_line(sent):
    emit("ingot.version.promoted", "größe", "better:\r\n 3\u2028 points" + "!" * 9999, version="4")
    delivered()
    (event,) = sent()
    assert event.event == "ingot.version.promoted" and event.resource.id == "ingot.model.größe"
    assert event.payload["reason"].startswith("better: 3 points!") and len(event.payload["reason"]) == 500
    assert (event.payload["model"], event.payload["version"], event.payload["url"]) == ("größe", "4", "")


def test_what_cannot_be_told_fails_nothing(sent):
    emit("ingot.version.promoted", "m", "x", huge="x" * 10**7)
    emit("ingot.version.promoted", "m", "x", strange=object())
    delivered()


def test_without_a_server_nothing_is_sent(sent):
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        emit("ingot.version.promoted", "m", "x")
        delivered()
    assert not sent()


def test_an_event_on_which_runs_start_is_told_only_when_the_server_has_it():
    answers = {"POST /api/events": (204, None)}
    with answering(answers) as (url, got), temporary_settings({PREFECT_API_URL: f"{url}/api"}):
        assert tell("ingot.data.changed", "m", "data changed", deployment="nightly")
        answers["POST /api/events"] = (400, {})
        assert not tell("ingot.data.changed", "m", "data changed")
        assert not tell("ingot.data.changed", "m", "data changed", strange=object())
    assert sum(each.startswith("POST /api/events") for each in got) == 2
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert not tell("ingot.data.changed", "m", "data changed")
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert tell("ingot.data.changed", "m", "data changed"), "there is nobody to be told"
