"""Events about models, as Prefect's own client would send them."""

import pytest
from prefect.events.clients import AssertingEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.exporters.events import delivered, emit


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
    assert delivered()
    (event,) = sent()
    assert event.event == "ingot.version.promoted" and event.resource.id == "ingot.model.größe"
    assert event.payload["reason"].startswith("better: 3 points!") and len(event.payload["reason"]) == 500
    assert (event.payload["model"], event.payload["version"], event.payload["url"]) == ("größe", "4", "")


def test_what_cannot_be_told_fails_nothing(sent):
    emit("ingot.version.promoted", "m", "x", huge="x" * 10**7)
    emit("ingot.version.promoted", "m", "x", strange=object())
    assert delivered()


def test_without_a_server_nothing_is_sent(sent):
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        emit("ingot.version.promoted", "m", "x")
        assert delivered()
    assert not sent()
