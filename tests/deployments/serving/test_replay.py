"""A pointer that was once true is never followed again, however it is put back."""

import pytest

from deployments.serving.library import Library
from deployments.serving.seen import Seen
from deployments.serving.watcher import Watcher
from tasks.stores.journal import Journal

KEY = "models/numbers/aliases/champion.json"


@pytest.fixture
def history(tiny, store, monkeypatch):
    """Every pointer of six promotions, each renewed, and of four rollbacks, oldest first."""
    pointers = []
    manifests = []

    def note():
        pointers.append(store.objects[KEY])

    for number in range(6):
        monkeypatch.setenv("INGOT_POINTER_DAYS", "30")
        manifests.append(tiny.publish(store, "numbers", str(number), tiny.numbers(float(number))))
        note()
        monkeypatch.setenv("INGOT_POINTER_DAYS", "40")
        journal = Journal(store, "numbers")
        journal.move_pointer(journal.champion(), renew=True)
        note()
    for number in (1, 4, 2, 0):
        tiny.rollback(store, "numbers", str(number), manifests[number])
        note()
    assert len(set(pointers)) == 16
    return pointers


def test_every_older_pointer_is_refused_by_a_server_that_runs_and_by_one_that_was_restarted(store, history, tmp_path):
    library = Library(["numbers"])
    watcher = Watcher(store, library, ["numbers"], seen=Seen(tmp_path))
    watcher.look()
    answering = library.find("numbers")
    for number, envelope in enumerate(history[:-1], start=1):
        store.objects[KEY] = envelope
        watcher.look()
        assert library.find("numbers") is answering
        assert library.shelf("numbers").refused == number
        restarted = Library(["numbers"])
        Watcher(store, restarted, ["numbers"], seen=Seen(tmp_path)).look()
        assert restarted.served("numbers") == ()
        assert "somebody put an old pointer back" in restarted.shelf("numbers").last_refusal


def test_a_writer_puts_the_newest_pointer_in_the_place_of_every_older_one(store, history, tmp_path):
    Watcher(store, Library(), ["numbers"], seen=Seen(tmp_path)).look()
    for envelope in history[:-1]:
        store.objects[KEY] = envelope
        journal = Journal(store, "numbers")
        journal.move_pointer(journal.champion(), renew=True)
        restarted = Library(["numbers"])
        Watcher(store, restarted, ["numbers"], seen=Seen(tmp_path)).look()
        assert [each.version for each in restarted.served("numbers")] == ["0"]
