"""What a watcher sees and tells of a source, on a store in a folder."""

from pathlib import Path

import pytest

from tasks.contracts.sighting import Watched
from tasks.stores import watching
from tasks.stores.s3 import Store


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.delenv("INGOT_PREFIX", raising=False)
    return Store.from_environment((tmp_path / "store").as_uri())


@pytest.fixture
def watched(tmp_path):
    (tmp_path / "rows.csv").write_text("a")
    return Watched(deployment="täglich / 1", model="m", source=str(tmp_path / "rows.csv"))


class Told:
    def __init__(self, *answers):
        self.answers, self.reasons = list(answers), []

    def __call__(self, reason):
        self.reasons.append(reason)
        return self.answers.pop(0) if self.answers else True


def write(watched, text):
    Path(watched.source).write_text(text)


def test_a_first_sight_is_only_noted_and_each_change_is_told_once(store, watched):
    told, states = Told(), []
    for text in ("a", "a", "b", "b", "a", "a"):
        write(watched, text)
        states.append(watching.look(store, watched, told).state)
    assert states == ["first", "same", "changed", "same", "changed", "same"]
    assert told.reasons == [f"data of m changed: {watched.source}"] * 2


def test_a_change_that_was_not_told_is_told_by_the_next_look(store, watched):
    told = Told(False)
    watching.look(store, watched, told)
    write(watched, "b")
    assert [watching.look(store, watched, told).state for _ in range(3)] == ["changed", "changed", "same"]


def test_of_two_watchers_at_once_one_tells(store, watched, monkeypatch):
    told, others = Told(), Told()
    watching.look(store, watched, told)
    write(watched, "b")

    class Raced(Store):
        def replace(self, *arguments):
            monkeypatch.setattr(Raced, "replace", Store.replace)
            watching.look(store, watched, others)
            return super().replace(*arguments)

    raced = Raced(store.bucket, store.prefix, store.connection)
    assert watching.look(raced, watched, told).state == "same"
    assert len(told.reasons + others.reasons) == 1


def test_another_source_is_a_first_sight_and_one_that_is_gone_is_reported(store, watched, tmp_path):
    told = Told()
    watching.look(store, watched, told)
    (tmp_path / "other.csv").write_text("other")
    other = watched.model_copy(update={"source": str(tmp_path / "other.csv")})
    assert watching.look(store, other, told).state == "first"
    (tmp_path / "other.csv").unlink()
    gone = watching.look(store, other, told)
    assert gone.state == "unreadable" and "there is nothing there" in gone.reason
    assert not told.reasons


def test_what_cannot_be_watched_is_said_once(store, watched, monkeypatch):
    monkeypatch.setattr(watching, "fingerprint", lambda *_: "")
    first, second = (watching.look(store, watched, Told()) for _ in range(2))
    assert (first.state, second.state) == ("unwatchable", "unwatchable")
    assert "cannot be watched" in first.reason and not second.reason


def test_a_note_that_is_no_note_is_written_anew(store, watched):
    store.create("watch/t%C3%A4glich%20%2F%201.json", b"[]")
    assert [watching.look(store, watched, Told()).state for _ in range(2)] == ["first", "same"]


def test_a_source_that_is_mute_for_a_while_loses_no_change(store, watched, monkeypatch):
    seen, told, states = iter(["a", "b", "", "b", "", "c"]), Told(True, True), []
    monkeypatch.setattr(watching, "fingerprint", lambda *_: next(seen))
    for _ in range(6):
        found = watching.look(store, watched, told)
        states.append(found.state)
    assert states == ["first", "changed", "unwatchable", "same", "unwatchable", "changed"]
    assert len(told.reasons) == 2
