"""Looking at models and deciding about them, on a store in a folder, while MLflow is away."""

import json
from pathlib import Path

import pytest

from deployments.command import decisions, histories
from deployments.command.edge import guarded
from tasks.stores.journal import Journal
from tasks.stores.pem import new_key
from tasks.stores.s3 import Store
from tests.tasks.stores.shelf import dataset, publish


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    for module in (decisions, histories):
        monkeypatch.setattr(module, "connect", lambda: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INGOT_PREFIX", raising=False)
    monkeypatch.setenv("INGOT_BUCKET", (tmp_path / "store").as_uri())
    monkeypatch.setenv("INGOT_SIGNING_KEY", new_key().decode())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return Store.from_environment()


@pytest.fixture
def journal(place: Store, tmp_path: Path) -> Journal:
    """Three versions; y = 10 a, so 10 is best and 9 is better than 1."""
    journal = Journal(place, "line")
    uri = dataset(place, tmp_path / "data").uri
    for slope in (1.0, 9.0, 10.0):
        publish(journal, slope, mlflow=False, uri=uri)
    return journal


def ingot(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict, str]:
    code = guarded([*arguments, "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out.splitlines()[-1]) if out else {}, err


def test_promoting_commits_while_mlflow_is_away_and_says_that_the_alias_follows(capsys, journal):
    code, made, err = ingot(capsys, "promote", "line", "1", "--reason", "first")
    assert (code, made["champion"], made["changed"], made["seq"], made["reason"]) == (0, True, True, 4, "first")
    assert err.startswith("MLflow's alias follows at the next reconciliation: MLflow at http://127.0.0.1:9 does not")
    assert len(err.splitlines()) == 1
    assert journal.pointer().version == "1"
    code, made, _ = ingot(capsys, "promote", "line", "1")
    assert (code, made["champion"], made["changed"], made["seq"]) == (0, True, False, 4)
    assert "it has been champion since" in made["reason"]
    assert len(journal.entries()) == 4


def test_a_contest_decides_where_it_is_asked_for(capsys, journal):
    assert ingot(capsys, "promote", "line", "2", "--if-better")[1]["reason"] == "it is the first champion"
    code, made, _ = ingot(capsys, "promote", "line", "1", "--if-better")
    assert (code, made["champion"]) == (1, False) and made["reason"].startswith("not surely better: -")
    assert ingot(capsys, "promote", "line", "3", "--if-better", "--margin", "99.9")[0] == 1
    code, made, _ = ingot(capsys, "promote", "line", "3", "--if-better", "--reason", "new sensor")
    assert (code, made["champion"]) == (0, True) and made["reason"].startswith("new sensor (better: +")
    assert [entry.version for entry in journal.entries()[3:]] == ["2", "3"]


def test_rolling_back_takes_the_one_before(capsys, journal):
    for version in ("1", "2", "3"):
        ingot(capsys, "promote", "line", version)
    code, made, err = ingot(capsys, "rollback", "line", "--reason", "it drifts")
    assert (code, made["version"], made["changed"], made["reason"]) == (0, "2", True, "it drifts")
    assert journal.entries()[-1].action == "rollback" and journal.pointer().version == "2"
    assert "the next reconciliation" in err
    assert ingot(capsys, "rollback", "line", "--to", "1")[1]["version"] == "1"
    then = journal.entries()[5].time
    assert ingot(capsys, "rollback", "line", "--to-time", then)[1]["version"] == "3"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("promote", "lime", "1"), 2, "model 'lime' does not exist: did you mean 'line'? known: line"),
        (("promote", "line", "7"), 2, "version of line '7' does not exist: known: 1, 2, 3"),
        (("rollback", "line"), 2, "had no other champion before, but a rollback needs one"),
        (("rollback", "line", "--to", "1", "--to-time", "1d"), 2, "but one of them decides: leave one out"),
        (("rollback", "line", "--to-time", "1d"), 2, "had no champion at"),
        (("rollback", "line", "--to-time", "soon"), 2, "--to-time is 'soon', but must be a time"),
        (("journal", "lime"), 2, "model 'lime' does not exist"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(capsys, journal, arguments, code, words):
    found, shown, err = ingot(capsys, *arguments)
    assert (found, shown) == (code, {}) and words in err and len(err.splitlines()) == 1
    assert len(journal.entries()) == 3


def test_a_version_that_lost_a_file_does_not_come_back(capsys, journal, place):
    for version in ("1", "2"):
        ingot(capsys, "promote", "line", version)
    graph = journal.get_manifest(journal.entries()[0].manifest).graph
    place.delete(f"blobs/sha256/{graph.chunks[0]}")
    code, _, err = ingot(capsys, "rollback", "line")
    assert code == 1 and "version 1 of 'line' has lost model.onnx, but must be whole: restore" in err
    assert journal.champion().version == "2"


def test_a_contest_without_its_dataset_is_refused(capsys, place):
    journal = Journal(place, "bare")
    for slope in (1.0, 2.0):
        publish(journal, slope, mlflow=False)
    ingot(capsys, "promote", "bare", "1")
    code, _, err = ingot(capsys, "promote", "bare", "2", "--if-better")
    assert code == 1 and "its test split decides: promote without --if-better, or restore it" in err


def test_every_model_has_a_row_and_a_broken_one_says_so(capsys, journal, place):
    assert ingot(capsys, "promote", "line", "3")[0] == 0
    code, found, _ = ingot(capsys, "models")
    (row,) = found["models"]
    assert code == 0
    assert (row["champion"], row["seq"], row["versions"], row["last_entry"]) == ("3", 4, 3, "promote 3")
    assert (row["metric_name"], row["metric"], row["problem"]) == ("rmse", 10.0, "") and row["size_bytes"] > 100
    assert guarded(["models"]) == 0 and "rmse 10" in capsys.readouterr().out
    publish(Journal(place, "odd"), 1.0, mlflow=False)
    place.replace("models/odd/journal/00000000000000000001.json", b"{}", place.read(
        "models/odd/journal/00000000000000000001.json").etag)  # fmt: skip
    code, found, _ = ingot(capsys, "models")
    assert code == 1 and [bool(row["problem"]) for row in found["models"]] == [False, True]
    assert guarded(["models"]) == 1
    shown = capsys.readouterr().out
    assert "rmse 10" in shown and "broken" in shown


def test_no_model_is_no_failure(capsys, place):
    assert ingot(capsys, "models")[:2] == (0, {"models": []})
    assert guarded(["models"]) == 0 and "make one by `ingot run`" in capsys.readouterr().out


def test_the_journal_is_shown_verified_and_a_broken_one_refused(capsys, journal, place):
    ingot(capsys, "promote", "line", "1", "--reason", "[bold] and\nmore")
    code, found, _ = ingot(capsys, "journal", "line")
    assert code == 0 and found["verified"]
    assert [(e["seq"], e["action"], e["version"]) for e in found["entries"]] == [
        (1, "publish", "1"), (2, "publish", "2"), (3, "publish", "3"), (4, "promote", "1")]  # fmt: skip
    assert guarded(["journal", "line"]) == 0
    shown = capsys.readouterr().out
    assert "[bold] and more" in shown and journal.entries()[0].manifest[:12] in shown
    place.delete("models/line/journal/00000000000000000002.json")
    code, _, err = ingot(capsys, "journal", "line")
    assert code == 1 and "is missing, but later entries stand" in err and len(err.splitlines()) == 1
