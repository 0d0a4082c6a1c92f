"""The door of the reconciler, on a store in a folder."""

from pathlib import Path

import pytest

from tasks.contracts.agreement import Agreement, Finding
from tasks.contracts.errors import UnavailableError
from tasks.reconcile import reconcile
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store
from tests.tasks.stores.shelf import publish


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.delenv("INGOT_PREFIX", raising=False)
    monkeypatch.setenv("INGOT_HOME", str(tmp_path))
    monkeypatch.setenv("INGOT_BUCKET", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return Store.from_environment()


def lagging(store: Store, name: str) -> Journal:
    """A model whose pointer was not moved."""
    journal = Journal(store, name)
    first = publish(journal, 1.0, mlflow=False)
    journal.append(
        action="promote", version="1", manifest=first.manifest, run_key=first.run_key, actor="ann", reason="first"
    )
    return journal


def test_all_pointers_follow_while_mlflow_is_away(store):
    journals = [lagging(store, name) for name in ("a", "b")]
    with pytest.raises(UnavailableError, match="MLflow at http://127.0.0.1:9 does not answer"):
        reconcile.fn("")
    assert [journal.pointer().version for journal in journals] == ["1", "1"]


def test_a_broken_model_is_reported_and_keeps_no_other_waiting(store):
    broken, journal = lagging(store, "a"), lagging(store, "b")
    broken.store.delete("models/a/journal/00000000000000000001.json")
    (found,) = reconcile.fn("a")
    assert not found.whole and found.findings[0].kind == "broken" and "is missing" in found.findings[0].found
    with pytest.raises(UnavailableError):
        reconcile.fn("")
    assert journal.pointer().version == "1"


def test_a_request_that_is_granted_is_told_as_a_promotion_and_one_that_is_refused_is_not(store, monkeypatch):
    told = []
    monkeypatch.setattr("tasks.exporters.events.emit", lambda *names, **facts: told.append((*names, facts)))
    monkeypatch.setattr("tasks.stores.reconciliation.reconcile", lambda journal: answers[journal.model])
    request = Finding(
        kind="request", version="2", found="alias champion was moved to version 2 in MLflow", done="granted"
    )
    refused = request.model_copy(update={"done": "refused and put back"})
    answers = {
        "a": Agreement(model="a", champion="2", findings=(request,)),
        "b": Agreement(model="b", champion="1", findings=(refused,)),
    }
    for model in answers:
        lagging(store, model)
    reconcile.fn("")
    reason = "alias champion was moved to version 2 in MLflow: granted"
    assert told == [("ingot.version.promoted", "a", reason, {"version": "2"})]


def test_an_empty_store_has_nothing_to_reconcile(store):
    assert reconcile.fn("") == []
