import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from tasks.contracts.errors import ConfigError, ConflictError, InputError, IntegrityError
from tasks.contracts.manifest import (
    JOURNAL_TYPE,
    POINTER_TYPE,
    GoldenBatch,
    JournalEntry,
    Lineage,
    Manifest,
    Pointer,
)
from tasks.contracts.signature import Signature
from tasks.contracts.verdict import Gate
from tasks.stores.chain import BEGINNING
from tasks.stores.journal import Journal
from tasks.stores.pem import new_key
from tasks.stores.s3 import Store
from tasks.stores.signing import Keyring

KEYRING = Keyring.from_environment()
LATER = "2999-01-01T00:00:00+00:00"


def publish(journal: Journal, name: str) -> JournalEntry:
    return journal.append(
        action="publish", version=name, manifest=digest(name), run_key=f"key {name}", actor="ann", reason="why"
    )


def promote(journal: Journal, name: str) -> JournalEntry:
    return journal.append(
        action="promote", version=name, manifest=digest(name), run_key=f"key {name}", actor="bob", reason="better"
    )


def place(pointer: Pointer | None) -> tuple[int, str, str]:
    assert pointer is not None
    return pointer.seq, pointer.version, pointer.manifest


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def manifest(model: str = "digits", **changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "model": model,
        "run_key": "k",
        "candidate": "dense/none",
        "metric_name": "accuracy",
        "files": (),
        "signature": Signature(inputs=(), outputs=()),
        "metrics": {"accuracy": 0.5},
        "gate": Gate(passed=True, reason="none"),
        "golden": GoldenBatch(inputs={}, outputs={}),
        "lineage": Lineage(data_digest="d", config_digest="c", code_digest="k", seed=0),
        "created_at": "2026-11-21T00:00:00Z",
    }
    return Manifest(**(fields | changes))


@dataclass
class Unsteady:
    """A client whose every third put_object loses its answer after the write."""

    client: Any
    lock: Any
    count: list[int]

    def put_object(self, **arguments: Any) -> Any:
        answer = self.client.put_object(**arguments)
        with self.lock:
            self.count[0] += 1
            lost = self.count[0] % 3 == 0
        if lost:
            raise ReadTimeoutError(endpoint_url="http://somewhere")
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


def unsteady(store: Store) -> Store:
    client = Unsteady(store.connection.client, Lock(), [0])
    return replace(store, connection=replace(store.connection, client=client))


# the chain


def test_an_empty_journal_has_neither_entries_nor_champion(store: Store) -> None:
    journal = Journal(store, "digits")
    assert journal.entries() == []
    assert journal.last() is None
    assert journal.champion() is None
    assert journal.pointer() is None
    assert journal.find("publish", "k") is None


def test_entries_count_from_one_and_each_names_the_envelope_before_it(store: Store) -> None:
    journal = Journal(store, "digits")
    written = [publish(journal, "1"), publish(journal, "2"), promote(journal, "1")]
    assert [entry.seq for entry in written] == [1, 2, 3]
    assert Journal(store, "digits").entries() == written
    previous = BEGINNING
    for seq, key in enumerate(store.keys("models/digits/journal/"), start=1):
        assert key == f"models/digits/journal/{seq:020d}.json"
        found = store.read(key)
        assert found is not None
        payload = json.loads(KEYRING.unseal(found.content, JOURNAL_TYPE))
        assert payload["seq"] == seq
        assert payload["previous_sha256"] == previous
        previous = hashlib.sha256(found.content).hexdigest()


def test_finds_entries_by_action_and_result(store: Store) -> None:
    journal = Journal(store, "digits")
    one, two = publish(journal, "1"), publish(journal, "2")
    moved = promote(journal, "2")
    assert journal.find("publish", "key 1") == one
    assert journal.find("publish", "key 2") == two
    assert journal.find("promote", "key 2") == moved
    assert journal.find("promote", "key 1") is None
    assert journal.last() == moved
    assert journal.champion() == moved


def test_two_journals_of_one_model_see_each_others_entries(store: Store) -> None:
    mine, yours = Journal(store, "digits"), Journal(store, "digits")
    publish(mine, "1")
    publish(yours, "2")
    publish(mine, "3")
    assert mine.entries() == yours.entries()
    assert len(mine.entries()) == 3


def test_models_do_not_share_a_journal(store: Store) -> None:
    publish(Journal(store, "digits"), "1")
    assert Journal(store, "digit").entries() == []


@pytest.mark.parametrize("name", ["", "Digits", "../digits", "a/b", "-a", "a" * 64, "a\n"])
def test_refuses_a_model_name_that_is_none(store: Store, name: str) -> None:
    with pytest.raises(InputError, match="but must match"):
        Journal(store, name)


def test_a_published_result_is_published_once(store: Store) -> None:
    journal = Journal(store, "digits")
    first = publish(journal, "1")
    again = journal.append(
        action="publish", version="9", manifest=digest("9"), run_key="key 1", actor="eve", reason="again"
    )
    assert again == first
    assert len(journal.entries()) == 1


def test_a_champion_is_promoted_once_until_another_was(store: Store) -> None:
    journal = Journal(store, "digits")
    publish(journal, "1")
    publish(journal, "2")
    assert promote(journal, "1") == promote(journal, "1")
    promote(journal, "2")
    back = journal.append(
        action="rollback", version="1", manifest=digest("1"), run_key="key 1", actor="ann", reason="worse"
    )
    assert [entry.action for entry in journal.entries()] == ["publish", "publish", "promote", "promote", "rollback"]
    assert journal.champion() == back


def test_refuses_to_promote_what_was_never_published(store: Store) -> None:
    journal = Journal(store, "digits")
    publish(journal, "1")
    with pytest.raises(InputError, match=f"manifest {digest('2')} was never published"):
        promote(journal, "2")
    assert len(journal.entries()) == 1


def test_publishers_at_once_leave_no_gap_and_no_fork_and_each_result_once(store: Store) -> None:
    """Six publishers, each with a journal of its own, publish four results that all have and four of their own."""
    stores = [store, unsteady(store), unsteady(store)] * 2
    shared = [f"shared {i}" for i in range(4)]

    def work(publisher: int) -> list[JournalEntry]:
        journal = Journal(stores[publisher], "digits")
        names = [name for i in range(4) for name in (shared[i], f"{publisher} {i}")]
        return [publish(journal, name) for name in names]

    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(work, range(6)))
    entries = Journal(store, "digits").entries()
    assert [entry.seq for entry in entries] == list(range(1, 4 + 6 * 4 + 1))
    assert len({entry.run_key for entry in entries}) == len(entries)
    for publisher in got:
        assert all(entries[entry.seq - 1] == entry for entry in publisher)


def test_threads_that_share_one_journal_do_not_disturb_each_other(store: Store) -> None:
    journal = Journal(store, "digits")
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(lambda i: publish(journal, f"{i % 4}"), range(16)))
    assert len(journal.entries()) == 4
    assert {entry.seq for entry in entries} == {1, 2, 3, 4}


def test_a_commit_whose_answer_was_lost_is_not_made_twice(store: Store) -> None:
    journal = Journal(unsteady(store), "digits")
    for name in "123456":
        publish(journal, name)
    assert [entry.version for entry in journal.entries()] == list("123456")


def test_refuses_a_journal_with_a_gap(store: Store) -> None:
    first = publish(Journal(store, "digits"), "1")
    store.create(f"models/digits/journal/{3:020d}.json", KEYRING.seal_record(first, JOURNAL_TYPE))
    with pytest.raises(IntegrityError, match=r"journal/0{19}2.json is missing, but later entries stand: restore it"):
        Journal(store, "digits").entries()


def test_refuses_a_journal_that_became_shorter(store: Store) -> None:
    journal = Journal(store, "digits")
    publish(journal, "1")
    journal.entries()
    key = f"{store.prefix}models/digits/journal/{1:020d}.json"
    store.connection.call("delete_object", Bucket=store.bucket, Key=key)
    with pytest.raises(IntegrityError, match="is missing, but stood there before"):
        journal.entries()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"previous_sha256": "ab" * 32}, "follows abababababab, but the entry before it is [0-9a-f]{12}"),
        ({"seq": 1}, "says it is entry 1"),
    ],
)
def test_refuses_an_entry_that_is_not_in_its_place(store: Store, change: dict[str, Any], message: str) -> None:
    first = publish(Journal(store, "digits"), "1")
    second = first.model_copy(update={"seq": 2} | change)
    store.create(f"models/digits/journal/{2:020d}.json", KEYRING.seal_record(second, JOURNAL_TYPE))
    with pytest.raises(IntegrityError, match=message):
        Journal(store, "digits").entries()


def test_refuses_a_rewritten_entry(store: Store) -> None:
    journal = Journal(store, "digits")
    first = publish(journal, "1")
    publish(journal, "2")
    key = f"models/digits/journal/{1:020d}.json"
    found = store.read(key)
    assert found is not None
    forged = first.model_copy(update={"manifest": digest("evil")})
    assert store.replace(key, KEYRING.seal_record(forged, JOURNAL_TYPE), found.etag)
    with pytest.raises(IntegrityError, match="history was rewritten"):
        Journal(store, "digits").entries()


def test_refuses_an_entry_that_is_no_entry(store: Store) -> None:
    pointer = Pointer(seq=1, version="1", manifest="m", expires=LATER)
    store.create(f"models/digits/journal/{1:020d}.json", KEYRING.seal_record(pointer, POINTER_TYPE))
    with pytest.raises(IntegrityError, match=r"0{19}1.json: envelope holds .*pointer.*, but must hold .*journal"):
        Journal(store, "digits").entries()


def test_passes_over_files_that_are_no_entries(store: Store) -> None:
    journal = Journal(store, "digits")
    publish(journal, "1")
    store.create("models/digits/journal/README", b"hello")
    assert len(journal.entries()) == 1


# manifests


def test_a_manifest_lies_under_the_digest_of_its_payload(store: Store) -> None:
    journal = Journal(store, "digits")
    uri, sha256 = journal.put_manifest(manifest())
    assert sha256 == hashlib.sha256(manifest().to_bytes()).hexdigest()
    assert uri == store.uri(f"models/digits/manifests/{sha256}.json") == journal.manifest_uri(sha256)
    assert journal.get_manifest(sha256) == manifest()
    assert journal.put_manifest(manifest()) == (uri, sha256)


def test_a_manifest_that_another_trusted_key_signed_is_fine(store: Store) -> None:
    old, new = new_key().decode(), new_key().decode()
    keyrings = [Keyring.from_environment({"INGOT_SIGNING_KEY": key}) for key in (old, new)]
    trusted = "".join(keyring.trusted_pem for keyring in keyrings)
    digest = Journal(store, "digits", keyrings[0]).put_manifest(manifest())[1]
    both = Keyring.from_environment({"INGOT_SIGNING_KEY": new, "INGOT_TRUSTED_KEYS": trusted})
    assert Journal(store, "digits", both).put_manifest(manifest())[1] == digest
    assert Journal(store, "digits", both).get_manifest(digest) == manifest()


def test_refuses_a_manifest_that_is_missing(store: Store) -> None:
    with pytest.raises(IntegrityError, match=f"{digest('x')}.json is missing, but is named as a manifest"):
        Journal(store, "digits").get_manifest(digest("x"))


def test_refuses_a_manifest_under_a_foreign_name(store: Store) -> None:
    envelope = KEYRING.seal_record(manifest(), "application/vnd.ingot.manifest+json")
    store.create(f"models/digits/manifests/{digest('x')}.json", envelope)
    with pytest.raises(IntegrityError, match="holds other bytes than its name says"):
        Journal(store, "digits").get_manifest(digest("x"))


def test_refuses_a_manifest_of_another_model(store: Store) -> None:
    sha256 = Journal(store, "digits").put_manifest(manifest("letters"))[1]
    with pytest.raises(IntegrityError, match="is of model 'letters', but must be of 'digits'"):
        Journal(store, "digits").get_manifest(sha256)


# the pointer


def test_the_pointer_names_the_promoted_version(store: Store) -> None:
    journal = Journal(store, "digits")
    publish(journal, "1")
    moved = journal.move_pointer(promote(journal, "1"))
    assert place(moved) == (2, "1", digest("1"))
    assert journal.pointer() == moved


def test_the_pointer_never_moves_backwards(store: Store) -> None:
    journal = Journal(store, "digits")
    publish(journal, "1")
    publish(journal, "2")
    early, late = promote(journal, "1"), promote(journal, "2")
    journal.move_pointer(late)
    assert place(journal.move_pointer(early)) == (4, "2", digest("2"))
    assert place(journal.pointer()) == (4, "2", digest("2"))


def test_the_pointer_never_leads_the_journal(store: Store) -> None:
    journal = Journal(store, "digits")
    entry = publish(journal, "1")
    ahead = entry.model_copy(update={"seq": 2, "action": "promote"})
    with pytest.raises(ConflictError, match="entry 2 is not in the journal of 'digits': append it first"):
        journal.move_pointer(ahead)
    promoted = promote(journal, "1")
    with pytest.raises(ConflictError, match="entry 2 is not in the journal"):
        journal.move_pointer(promoted.model_copy(update={"version": "forged"}))
    assert journal.pointer() is None


def test_a_publication_alone_does_not_move_the_pointer(store: Store) -> None:
    journal = Journal(store, "digits")
    with pytest.raises(InputError, match="entry 1 is a publish, but must be a promotion or rollback"):
        journal.move_pointer(publish(journal, "1"))


def test_movers_at_once_end_at_the_latest_entry(store: Store) -> None:
    journal = Journal(store, "digits")
    for name in "1234":
        publish(journal, name)
    entries = [promote(journal, name) for name in "1234"]
    with ThreadPoolExecutor(4) as pool:
        pointers = list(pool.map(lambda e: Journal(unsteady(store), "digits").move_pointer(e), entries))
    assert all(pointer.seq >= entry.seq for pointer, entry in zip(pointers, entries, strict=True))
    assert place(journal.pointer()) == (8, "4", digest("4"))


def test_a_pointer_is_renewed_in_the_second_half_of_its_life_alone(store: Store, monkeypatch) -> None:
    journal = Journal(store, "digits")
    publish(journal, "1")
    entry = promote(journal, "1")
    first = journal.move_pointer(entry)
    assert 29 < first.lasts_seconds(datetime.now(UTC)) / 86_400 <= 30
    monkeypatch.setenv("INGOT_POINTER_DAYS", "40")
    assert journal.move_pointer(entry) == first
    monkeypatch.setenv("INGOT_POINTER_DAYS", "90")
    renewed = journal.move_pointer(entry)
    assert place(renewed) == place(first)
    assert renewed.lasts_seconds(datetime.now(UTC)) / 86_400 > 89
    assert journal.pointer() == renewed


def test_a_pointer_that_is_renewed_on_demand_never_expires_earlier(store: Store, monkeypatch) -> None:
    journal = Journal(store, "digits")
    publish(journal, "1")
    entry = promote(journal, "1")
    first = journal.move_pointer(entry)
    monkeypatch.setenv("INGOT_POINTER_DAYS", "31")
    renewed = journal.move_pointer(entry, renew=True)
    assert renewed.expires > first.expires
    monkeypatch.setenv("INGOT_POINTER_DAYS", "20")
    assert journal.move_pointer(entry, renew=True) == renewed


@pytest.mark.parametrize("days", ["soon", "0", "-1", "nan", "1e9"])
def test_refuses_a_pointer_life_that_is_no_number_of_days(store: Store, monkeypatch, days: str) -> None:
    journal = Journal(store, "digits")
    publish(journal, "1")
    monkeypatch.setenv("INGOT_POINTER_DAYS", days)
    with pytest.raises(ConfigError, match="INGOT_POINTER_DAYS is .*, but must be a number of days up to 3650"):
        journal.move_pointer(promote(journal, "1"))


def test_what_another_key_signed_is_no_history_of_ours(store: Store) -> None:
    stranger = Keyring.from_environment({"INGOT_SIGNING_KEY": new_key().decode()})
    publish(Journal(store, "digits", stranger), "1")
    with pytest.raises(IntegrityError, match="is signed by key .*, but must be by"):
        Journal(store, "digits").entries()


def test_after_a_change_of_keys_the_whole_history_still_stands(store: Store) -> None:
    old, new = new_key().decode(), new_key().decode()
    keyrings = [Keyring.from_environment({"INGOT_SIGNING_KEY": key}) for key in (old, new)]
    trusted = {"INGOT_TRUSTED_KEYS": "".join(keyring.trusted_pem for keyring in keyrings)}
    publish(Journal(store, "digits", keyrings[0]), "1")
    publish(Journal(store, "digits", Keyring.from_environment({"INGOT_SIGNING_KEY": new} | trusted)), "2")
    entries = Journal(store, "digits", Keyring.from_environment(trusted)).entries()
    assert [entry.version for entry in entries] == ["1", "2"]


def test_an_unreadable_pointer_is_refused_by_readers_and_mended_by_the_next_move(store: Store) -> None:
    journal = Journal(store, "digits")
    publish(journal, "1")
    store.create("models/digits/aliases/champion.json", b"torn")
    with pytest.raises(IntegrityError, match="aliases/champion.json: envelope is broken"):
        journal.pointer()
    journal.move_pointer(promote(journal, "1"))
    assert place(journal.pointer()) == (2, "1", digest("1"))


def test_a_pointer_ahead_of_the_journal_says_that_the_journal_was_cut(store: Store) -> None:
    journal = Journal(store, "digits")
    publish(journal, "1")
    ahead = Pointer(seq=9, version="1", manifest=digest("1"), expires=LATER)
    store.create("models/digits/aliases/champion.json", KEYRING.seal(ahead.to_bytes(), POINTER_TYPE))
    with pytest.raises(IntegrityError, match="names entry 9, but the journal ends before it"):
        journal.move_pointer(promote(journal, "1"))


def test_reads_a_long_journal_once(store: Store) -> None:
    journal = Journal(store, "digits")
    for i in range(60):
        publish(journal, str(i))
    counted = CountingReads(store.connection.client)
    reader = Journal(replace(store, connection=replace(store.connection, client=counted)), "digits")
    assert len(reader.entries()) == 60
    assert counted.reads == 60
    publish(journal, "last")
    assert len(reader.entries()) == 61
    assert counted.reads == 61


class CountingReads:
    def __init__(self, client: Any) -> None:
        self.client, self.reads, self.lock = client, 0, Lock()

    def get_object(self, **arguments: Any) -> Any:
        with self.lock:
            self.reads += 1
        return self.client.get_object(**arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


def test_the_serving_side_of_the_stores_imports_no_heavy_library() -> None:
    code = (
        "import sys, tasks.stores.s3, tasks.stores.journal, tasks.stores.signing; "
        "print([name for name in ('torch', 'prefect', 'mlflow', 'onnx', 'numpy', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_pointer_that_the_journal_contradicts_says_that_an_older_journal_was_put_back(store: Store) -> None:
    journal = Journal(store, "digits")
    for name in "12":
        publish(journal, name)
    promote(journal, "1")
    foreign = Pointer(seq=3, version="2", manifest=digest("2"), expires=LATER)
    store.create("models/digits/aliases/champion.json", KEYRING.seal_record(foreign, POINTER_TYPE))
    champion = journal.champion()
    assert champion is not None
    with pytest.raises(IntegrityError, match="names version 2 at entry 3, but the journal does not"):
        journal.move_pointer(champion)
