import hashlib
import threading
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from tasks.contracts.access import KEYS_TYPE, ApiKey, KeyList
from tasks.contracts.errors import InputError, IntegrityError
from tasks.stores import access
from tasks.stores.access import PLACE, Keys
from tasks.stores.s3 import Store
from tasks.stores.signing import Keyring


@pytest.fixture
def store(tmp_path):
    return Store.from_environment(f"file://{tmp_path}/bucket")


@pytest.fixture
def keys(store):
    return Keys(store)


def listed(store):
    return Keys(store).unsealed(store.read(PLACE).content)


def test_a_store_without_a_list_has_no_keys(keys):
    assert keys.list() == ()


def test_a_key_is_kept_by_its_digest_alone(store, keys):
    key, token = keys.add("web", models=("digits",), rate_per_second=100, daily=1000)
    assert token.startswith(f"ingot_{key.id}_")
    assert len(token) == len("ingot_") + 8 + 1 + 43
    assert key.sha256 == hashlib.sha256(token.encode()).hexdigest()
    assert keys.list() == (key,)
    assert token[-43:].encode() not in Keyring.from_environment().unseal(store.read(PLACE).content, KEYS_TYPE)


def test_every_change_counts_seq_up_by_one(store, keys):
    key, _ = keys.add("a")
    keys.add("b")
    keys.revoke(key.id)
    assert listed(store).seq == 3
    keys.revoke(key.id)  # it was, so nothing changes
    assert listed(store).seq == 3


def test_a_revoked_key_stays_and_says_since_when(keys):
    key, _ = keys.add("a")
    revoked = keys.revoke(key.id)
    assert revoked.revoked_at
    assert keys.list() == (revoked,)
    assert revoked.state(datetime.now(UTC)) == "revoked"


def test_a_key_that_does_not_exist_is_named_beside_those_that_do(keys):
    key, _ = keys.add("a")
    with pytest.raises(InputError, match=f"key 'deadbeef' does not exist: .*{key.id}"):
        keys.revoke("deadbeef")


def test_many_at_once_lose_no_change(store):
    threads = [threading.Thread(target=Keys(store).add, args=(f"caller {i}",)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = listed(store)
    assert {key.name for key in found.keys} == {f"caller {i}" for i in range(12)}
    assert found.seq == 12
    assert len({key.id for key in found.keys}) == 12


def test_a_list_that_is_something_else_is_not_written_over(store, keys):
    store.create(PLACE, Keyring.from_environment().seal(b"{}", "application/vnd.ingot.pointer+json"))
    with pytest.raises(IntegrityError, match="access/keys.json: envelope holds"):
        keys.add("a")


def test_no_more_keys_than_every_server_can_hold(keys, monkeypatch):
    monkeypatch.setattr(access, "MOST_KEYS", 2)
    keys.add("a")
    keys.add("b")
    with pytest.raises(InputError, match="there are 2 API keys, but may be 2"):
        keys.add("c")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"rate_per_second": -1},
        {"rate_per_second": float("inf")},
        {"daily": -1},
        {"expires_at": "soon"},
        {"expires_at": "2027-01-01T00:00:00"},
        {"sha256": "abc"},
        {"id": "../../x"},
    ],
)
def test_a_key_is_strict_about_its_fields(wrong):
    sound = {"id": "0a1b2c3d", "name": "a", "sha256": "0" * 64, "created_at": ""}
    ApiKey(**sound)
    with pytest.raises(ValidationError):
        ApiKey(**sound | wrong)


def test_a_list_begins_at_one():
    with pytest.raises(ValidationError):
        KeyList(seq=0)
