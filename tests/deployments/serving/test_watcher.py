import threading
import time

import pytest

from deployments.serving.library import Library
from deployments.serving.refusal import Refusal
from deployments.serving.seen import Seen
from deployments.serving.watcher import Watcher
from tasks.contracts.errors import ConfigError, UnavailableError
from tasks.contracts.manifest import POINTER_TYPE, File, GoldenBatch, Pointer
from tasks.stores.journal import Journal
from tasks.stores.pem import new_key
from tasks.stores.signing import Keyring


@pytest.fixture
def library():
    return Library()


@pytest.fixture
def watcher(store, library):
    return Watcher(store, library)


def served(library, model="numbers"):
    return [(each.version, each.seq) for each in library.served(model)]


def test_installs_every_champion_of_the_bucket(tiny, store, library, watcher):
    tiny.publish(store, "numbers", "1", tiny.numbers())
    tiny.publish(store, "text", "1", tiny.text())
    watcher.look()
    assert [each.model for each in library.champions()] == ["numbers", "text"]


def test_without_names_it_is_ready_after_the_first_look_even_into_an_empty_bucket(library, watcher):
    assert library.waits_for() == ["the first look into the bucket"]
    watcher.look()
    assert library.waits_for() == []
    assert library.champions() == []


def test_with_names_it_is_ready_when_each_of_them_is_loaded(tiny, store):
    library = Library(["numbers", "text"])
    watcher = Watcher(store, library, ["numbers", "text"])
    tiny.publish(store, "numbers", "1", tiny.numbers())
    tiny.publish(store, "image", "1", tiny.image())
    watcher.look()
    assert library.waits_for() == ["text"]
    with pytest.raises(Refusal, match="model 'text' is not loaded yet"):
        library.find("text")
    tiny.publish(store, "text", "1", tiny.text())
    watcher.look()
    assert library.waits_for() == []
    assert [each.model for each in library.champions()] == ["numbers", "text"]


def test_discovers_a_model_that_appears_later(tiny, store, library, watcher):
    watcher.look()
    tiny.publish(store, "numbers", "1", tiny.numbers())
    time.sleep(0.01)  # listing takes a tenth of the time at most
    watcher.look()
    assert served(library) == [("1", 2)]


def test_follows_the_pointer_and_keeps_the_last_two_versions(tiny, store, library, watcher):
    for version in range(1, 5):
        tiny.publish(store, "numbers", str(version), tiny.numbers(weight=float(version)))
        watcher.look()
    assert served(library) == [("4", 8), ("3", 6), ("2", 4)]


def test_what_has_not_moved_costs_two_small_reads(tiny, store, library, watcher):
    tiny.publish(store, "numbers", "1", tiny.numbers())
    watcher = Watcher(store, library, ["numbers"])
    watcher.look()
    store.reads.clear()
    found = library.find("numbers")
    watcher.look()
    assert store.reads == ["models/numbers/aliases/champion.json", "models/numbers/routing.json"]
    assert library.find("numbers") is found


def test_a_rollback_to_a_kept_version_loads_nothing_anew(tiny, store, library, watcher):
    first = tiny.publish(store, "numbers", "1", tiny.numbers(1.0))
    watcher.look()
    session = library.find("numbers").session
    tiny.publish(store, "numbers", "2", tiny.numbers(2.0))
    watcher.look()
    tiny.rollback(store, "numbers", "1", first)
    watcher.look()
    assert served(library) == [("1", 5), ("2", 4)]
    assert library.find("numbers").session is session


def bad_blob(tiny, store):
    tiny.publish(store, "numbers", "2", tiny.numbers(3.0), tamper=b"something else")


def no_onnx(tiny, store):
    garbage = b"not an onnx graph at all"
    made = (*tiny.numbers(3.0)[:1], garbage, None)
    golden = tiny.manifest_of("numbers", tiny.numbers(3.0)).golden
    tiny.publish(store, "numbers", "2", made, golden=golden)


def wrong_golden(tiny, store):
    golden = GoldenBatch(inputs={"features": [[1.0, 2.0]]}, outputs={"value": [9.1]})
    tiny.publish(store, "numbers", "2", tiny.numbers(3.0), golden=golden)


def empty_golden(tiny, store):
    tiny.publish(store, "numbers", "2", tiny.numbers(3.0), golden=GoldenBatch(inputs={}, outputs={}))


def ragged_golden(tiny, store):
    golden = GoldenBatch(inputs={"features": [[1.0, 2.0]]}, outputs={"value": [[6.0], 1.0]})
    tiny.publish(store, "numbers", "2", tiny.numbers(3.0), golden=golden)


def golden_of_another_shape(tiny, store):
    golden = GoldenBatch(inputs={"features": [[1.0, 2.0, 3.0]]}, outputs={"value": [6.0]})
    tiny.publish(store, "numbers", "2", tiny.numbers(3.0), golden=golden)


def other_signature(tiny, store):
    signature = tiny.manifest_of("text", tiny.text()).signature
    tiny.publish(store, "numbers", "2", tiny.numbers(3.0), signature=signature)


def two_graphs(tiny, store):
    made = tiny.artifact_of(tiny.numbers(3.0)[1])
    files = (File(path="a.onnx", artifact=made), File(path="b.onnx", artifact=made))
    tiny.publish(store, "numbers", "2", tiny.numbers(3.0), files=files)


def no_pointer(tiny, store):
    store.objects["models/numbers/aliases/champion.json"] = b"{}"


def pointer_to_nothing(tiny, store):
    pointer = Pointer(seq=9, version="9", manifest="0" * 64, expires="2999-01-01T00:00:00+00:00")
    sealed = Keyring.from_environment().seal_record(pointer, POINTER_TYPE)
    store.objects["models/numbers/aliases/champion.json"] = sealed


BAD = {
    bad_blob: "is not what its digest says",
    no_onnx: "is no ONNX graph",
    wrong_golden: "a golden value is off by 0.1",
    empty_golden: "the golden batch has inputs",
    ragged_golden: "golden value is no array of FP32",
    golden_of_another_shape: "but must be a list of 2",
    other_signature: "as the manifest says",
    two_graphs: "names 2 ONNX files",
    no_pointer: "envelope is broken",
    pointer_to_nothing: "names version 9 at seq 9, but the journal does not: restore both",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_a_bad_version_leaves_the_old_one_serving(tiny, store, library, watcher, spoil):
    tiny.publish(store, "numbers", "1", tiny.numbers())
    watcher.look()
    spoil(tiny, store)
    for _ in range(3):
        watcher.look()
    assert served(library) == [("1", 2)]
    shelf = library.shelf("numbers")
    assert shelf.refused == 1
    assert BAD[spoil] in shelf.last_refusal
    assert "\n" not in shelf.last_refusal
    assert "/tmp" not in shelf.last_refusal


def test_a_model_whose_first_version_is_bad_says_why_it_does_not_answer(tiny, store, library, watcher):
    bad_blob(tiny, store)
    watcher.look()
    with pytest.raises(Refusal, match="not what its digest says") as refused:
        library.find("numbers")
    assert refused.value.status == 503


def test_a_good_version_after_a_bad_one_is_served(tiny, store, library, watcher):
    tiny.publish(store, "numbers", "1", tiny.numbers(1.0))
    watcher.look()
    bad_blob(tiny, store)
    watcher.look()
    tiny.publish(store, "numbers", "3", tiny.numbers(5.0))
    watcher.look()
    assert served(library) == [("3", 6), ("1", 2)]


def test_a_bad_download_that_heals_is_served_without_a_new_pointer(tiny, store, library, watcher):
    bad_blob(tiny, store)
    watcher.look()
    store.put_bytes(tiny.numbers(3.0)[1])
    watcher.look()
    assert served(library) == []  # not before a second has passed
    time.sleep(1.05)
    watcher.look()
    assert served(library) == [("2", 2)]


def test_one_bad_model_does_not_keep_another_from_moving(tiny, store, library, watcher):
    tiny.publish(store, "aaa", "1", tiny.numbers(), tamper=b"x")
    tiny.publish(store, "numbers", "1", tiny.numbers())
    watcher.look()
    assert served(library) == [("1", 2)]
    assert library.waits_for() == []


def test_an_older_pointer_is_refused(tiny, store, library, watcher):
    key = "models/numbers/aliases/champion.json"
    tiny.publish(store, "numbers", "1", tiny.numbers(1.0))
    old = store.objects[key]
    tiny.publish(store, "numbers", "2", tiny.numbers(2.0))
    watcher.look()
    store.objects[key] = old
    watcher.look()
    assert served(library) == [("2", 4)]
    assert "must not be older than seq 4" in library.shelf("numbers").last_refusal


def test_an_older_pointer_is_refused_after_a_restart_too(tiny, store, tmp_path):
    key = "models/numbers/aliases/champion.json"
    tiny.publish(store, "numbers", "1", tiny.numbers(1.0))
    old = store.objects[key]
    tiny.publish(store, "numbers", "2", tiny.numbers(2.0))
    Watcher(store, Library(), seen=Seen(tmp_path)).look()
    store.objects[key] = old
    restarted = Library()
    Watcher(store, restarted, seen=Seen(tmp_path)).look()
    assert served(restarted) == []
    assert "must not be older than seq 4" in restarted.shelf("numbers").last_refusal


def test_a_pointer_that_expired_is_not_followed_and_what_answers_goes_on(tiny, store, library, watcher, monkeypatch):
    tiny.publish(store, "numbers", "1", tiny.numbers(1.0))
    watcher.look()
    monkeypatch.setenv("INGOT_POINTER_DAYS", "1e-9")
    tiny.publish(store, "numbers", "2", tiny.numbers(2.0))
    watcher.look()
    assert served(library) == [("1", 2)]
    assert "expired at" in library.shelf("numbers").last_refusal


def test_a_renewed_pointer_costs_no_load(tiny, store, library, watcher, monkeypatch):
    tiny.publish(store, "numbers", "1", tiny.numbers(1.0))
    watcher.look()
    before = library.find("numbers")
    monkeypatch.setenv("INGOT_POINTER_DAYS", "300")
    journal = Journal(store, "numbers")
    journal.move_pointer(journal.champion())
    watcher.look()
    after = library.find("numbers")
    assert after.session is before.session
    assert after.expires > before.expires


def test_a_fresh_server_is_not_taken_in_by_a_pointer_that_the_journal_left_long_ago(tiny, store, monkeypatch):
    key = "models/numbers/aliases/champion.json"
    tiny.publish(store, "numbers", "1", tiny.numbers(1.0))
    old = store.objects[key]
    tiny.publish(store, "numbers", "2", tiny.numbers(2.0))
    store.objects[key] = old
    fresh = Library()
    Watcher(store, fresh).look()
    assert served(fresh) == [("1", 2)]  # it may lag for a while
    monkeypatch.setattr("deployments.serving.watcher._LONGEST_LAG_SECONDS", -1.0)
    fresh = Library()
    Watcher(store, fresh).look()
    assert served(fresh) == []
    assert "is at seq 2, but entry 4 made another champion at" in fresh.shelf("numbers").last_refusal


def test_a_renewal_is_no_swap(tiny, store, library, monkeypatch):
    told = []
    watcher = Watcher(store, library, tell=lambda event, **facts: told.append(event))
    tiny.publish(store, "numbers", "1", tiny.numbers(1.0))
    watcher.look()
    monkeypatch.setenv("INGOT_POINTER_DAYS", "300")
    journal = Journal(store, "numbers")
    journal.move_pointer(journal.champion())
    watcher.look()
    assert told == ["version_swapped"]
    tiny.publish(store, "numbers", "2", tiny.numbers(2.0))
    watcher.look()
    assert told == ["version_swapped"] * 2


class Full(Seen):
    """The disk is full."""

    def note(self, place, pointer):
        raise ConfigError("INGOT_SERVING_STATE is /full, but must be a folder of ours: no space left")


def test_what_cannot_be_written_down_is_tried_ever_more_seldom(tiny, store, library):
    watcher = Watcher(store, library, seen=Full())
    tiny.publish(store, "numbers", "1", tiny.numbers(1.0))
    watcher.look()
    reads = len(store.reads)
    watcher.look()
    assert len(store.reads) - reads <= 2  # no second download
    assert "INGOT_SERVING_STATE is" in library.shelf("numbers").last_refusal


def test_a_pointer_of_a_stranger_is_refused(tiny, store, library, watcher):
    tiny.publish(store, "numbers", "1", tiny.numbers(1.0))
    watcher.look()
    pointer = Pointer(seq=2, version="1", manifest="0" * 64, expires="2999-01-01T00:00:00+00:00")
    stranger = Keyring.from_environment({"INGOT_SIGNING_KEY": new_key().decode()})
    store.objects["models/numbers/aliases/champion.json"] = stranger.seal_record(pointer, POINTER_TYPE)
    watcher.look()
    assert served(library) == [("1", 2)]
    assert "is signed by key" in library.shelf("numbers").last_refusal


def test_a_pointer_must_name_a_promotion(tiny, store, library, watcher):
    manifest = tiny.publish(store, "numbers", "1", tiny.numbers(1.0))
    pointer = Pointer(seq=1, version="1", manifest=manifest.digest, expires="2999-01-01T00:00:00+00:00")
    sealed = Keyring.from_environment().seal_record(pointer, POINTER_TYPE)
    store.objects["models/numbers/aliases/champion.json"] = sealed
    watcher.look()
    assert "names entry 1, which publishes" in library.shelf("numbers").last_refusal


def test_a_silent_store_leaves_the_current_version_serving_and_is_asked_again(tiny, store, library, watcher):
    tiny.publish(store, "numbers", "1", tiny.numbers(1.0))
    watcher.look()
    tiny.publish(store, "numbers", "2", tiny.numbers(2.0))
    store.down = True
    watcher.look()
    assert served(library) == [("1", 2)]
    assert library.shelf("numbers").refused == 0
    store.down = False
    watcher.look()
    assert served(library) == [("2", 4), ("1", 2)]


@pytest.mark.parametrize("part", ["aliases/", "manifests/", "blobs/"])
def test_a_store_that_falls_silent_half_way_is_no_fault_of_the_version(tiny, store, library, part):
    class Moody(type(store)):
        silent_at = "nothing"

        def _answer(self, key):
            if self.silent_at in key:
                raise UnavailableError("S3 does not answer: start it")

    moody = Moody()
    tiny.publish(moody, "numbers", "1", tiny.numbers())
    moody.silent_at = part
    watcher = Watcher(moody, library)
    watcher.look()
    assert library.waits_for() == ["the first look into the bucket"]
    moody.silent_at = "nothing"
    watcher.look()
    assert served(library) == [("1", 2)]
    assert library.shelf("numbers").refused == 0


def test_a_silent_store_at_the_start_does_not_count_as_the_first_look(tiny, store, library, watcher):
    store.down = True
    watcher.look()
    assert library.waits_for() == ["the first look into the bucket"]


def test_a_vanished_pointer_leaves_the_current_version_serving(tiny, store, library, watcher):
    tiny.publish(store, "numbers", "1", tiny.numbers(1.0))
    watcher.look()
    store.objects.clear()
    time.sleep(0.01)
    watcher.look()
    assert served(library) == [("1", 2)]


def test_folders_that_no_model_can_have_made_are_passed_over(tiny, store, library, watcher):
    store.objects["models/../aliases/champion.json"] = b"{}"
    store.objects["models/a/b/aliases/champion.json"] = b"{}"
    tiny.publish(store, "numbers", "1", tiny.numbers())
    watcher.look()
    assert [name for name, _ in library.shelves()] == ["numbers"]


def test_the_thread_outlives_what_nobody_foresaw(tiny, store, library):
    class Moody(type(store)):
        def keys(self, prefix):
            if not self.reads:
                self.reads.append("once")
                raise ZeroDivisionError
            return super().keys(prefix)

    moody = Moody()
    tiny.publish(moody, "numbers", "1", tiny.numbers())
    moody.reads.clear()
    stop = threading.Event()
    thread = threading.Thread(target=Watcher(moody, library).run, args=(stop, 0.01))
    thread.start()
    try:
        tiny.wait_until(lambda: served(library) == [("1", 2)])
    finally:
        stop.set()
        thread.join()
