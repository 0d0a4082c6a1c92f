"""Collecting garbage and reconciling, as they are shown, on a store in a folder."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deployments.command import upkeep
from deployments.command.edge import guarded
from tasks.stores.journal import Journal
from tasks.stores.pem import new_key
from tasks.stores.s3 import Store
from tasks.stores.tracking.live import LiveRun
from tests.tasks.stores.shelf import publish


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(upkeep, "connect", lambda: None)
    monkeypatch.setattr(upkeep, "oldest_live_run", lambda: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INGOT_PREFIX", raising=False)
    monkeypatch.setenv("INGOT_BUCKET", (tmp_path / "store").as_uri())
    monkeypatch.setenv("INGOT_SIGNING_KEY", new_key().decode())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    store = Store.from_environment()
    publish(Journal(store, "line"), 1.0, mlflow=False)
    store.put_bytes(b"lost")
    return store


def test_garbage_is_counted_and_only_then_deleted(capsys, store):
    assert guarded(["gc", "--dry-run", "--older-than", "0h"]) == 0
    shown = capsys.readouterr().out
    assert "would go" in shown and "blobs" in shown and "only what was written before" in shown
    assert len(list(store.keys("blobs/"))) == 3
    assert guarded(["gc", "--older-than", "0h", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["garbage"]["blobs"] == {"objects": 1, "size_bytes": 4} and found["held_back_by"] == ""
    assert found["kept"]["manifests"]["objects"] == 1
    assert len(list(store.keys("blobs/"))) == 2


def test_a_week_is_spared_unless_it_is_said_otherwise(store):
    assert guarded(["gc"]) == 0
    assert len(list(store.keys("blobs/"))) == 3


def test_a_live_run_holds_back_and_is_named(capsys, monkeypatch, store):
    live = LiveRun("r1", "retrain-digits", datetime.now(UTC) - timedelta(hours=2))
    monkeypatch.setattr(upkeep, "oldest_live_run", lambda: live)
    assert guarded(["gc", "--older-than", "0h"]) == 0
    assert "held back by MLflow run retrain-digits, under way since" in capsys.readouterr().out
    assert len(list(store.keys("blobs/"))) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["gc", "--older-than", "soon"], 2, "--older-than is 'soon', but must be an age such as 30m"),
        (["registry", "reconcile", "lime"], 2, "model 'lime' does not exist: did you mean 'line'?"),
        (["registry", "rebuild"], 1, "MLflow at http://127.0.0.1:9 does not answer"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(capsys, arguments, code, words):
    assert guarded(arguments) == code
    out, err = capsys.readouterr()
    assert out == "" and words in err and len(err.splitlines()) == 1


def test_nothing_is_deleted_while_a_journal_cannot_be_read(capsys, store):
    store.delete("models/line/manifests/" + Journal(store, "line").entries()[0].manifest + ".json")
    assert guarded(["gc", "--older-than", "0h"]) == 1
    assert "is missing, but is named as a manifest: restore it" in capsys.readouterr().err
    assert len(list(store.keys("blobs/"))) == 3


def test_a_broken_model_is_shown_and_is_no_success(capsys, store):
    store.replace("models/line/journal/00000000000000000001.json", b"{}", store.read(
        "models/line/journal/00000000000000000001.json").etag)  # fmt: skip
    assert guarded(["registry", "reconcile"]) == 1
    shown = capsys.readouterr().out
    assert "broken" in shown and "1 model: 1 found, 0 settled, 1 left to do" in shown
