"""Deleting, ages, and writing again what is old, in a folder and in a real S3."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.errors import InputError, IntegrityError
from tasks.stores.s3 import Object, Store, blobs

NOISE = np.random.default_rng(0).bytes(5000)
SPARSE = b"0" * 5000


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "s3":
        found: Store = request.getfixturevalue("store")
        return found
    return Store.from_environment((tmp_path / "store").as_uri(), "part/")


def test_objects_are_listed_in_order_with_sizes_and_times(place: Store) -> None:
    place.create("a/2", b"two")
    place.create("a/1", b"1")
    place.create("b/1", b"")
    found = list(place.objects("a/"))
    assert [(each.key, each.size_bytes) for each in found] == [("a/1", 1), ("a/2", 3)]
    assert all(abs(datetime.now(UTC) - each.modified) < timedelta(minutes=5) for each in found)
    looked = place.look("a/2")
    assert looked is not None and (looked.key, looked.size_bytes) == ("a/2", 3)
    assert place.look("a/3") is None


def test_what_is_deleted_is_gone_and_can_be_written_again(place: Store) -> None:
    packed = place.put_bytes(SPARSE)
    place.create("a/1", b"1")
    for key in ("a/1", "a/1", "a/none", f"blobs/sha256/{packed.sha256}"):
        place.delete(key)
    assert list(place.keys("")) == []
    assert not place.holds(packed)
    with pytest.raises(IntegrityError, match="is missing, but is still named"):
        place.get_bytes(packed)
    assert place.put_bytes(SPARSE) == packed
    assert place.create("a/1", b"another")
    assert place.get_bytes(packed) == SPARSE


@pytest.mark.parametrize("content", [NOISE, SPARSE], ids=["plain", "packed"])
def test_an_old_chunk_that_is_put_again_is_written_again(
    place: Store, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(content)
    artifact = place.put_bytes(content)
    key = f"blobs/sha256/{artifact.sha256}"
    first = place.look(key)
    assert place.put_bytes(content) == place.put_file(tmp_path / "file") == artifact
    assert place.look(key) == first  # it is young
    monkeypatch.setattr(blobs, "FRESH", timedelta(seconds=-3600))
    written: list[str] = []
    monkeypatch.setattr(blobs, "_put_again", remembered(blobs._put_again, written))
    assert place.put_bytes(content) == artifact
    assert place.put_file(tmp_path / "file") == artifact
    assert written == [artifact.sha256] * 2
    assert place.get_bytes(artifact) == content
    assert len(list(place.keys("blobs/"))) == 1


def remembered(put, written):
    def wrapped(bucket, digest, *rest, **how):
        written.append(digest)
        return put(bucket, digest, *rest, **how)

    return wrapped


@pytest.mark.parametrize(("hours", "old"), [(0, False), (23, False), (25, True)])
def test_a_day_makes_a_chunk_old(hours: int, old: bool) -> None:
    now = datetime.now(UTC)
    assert blobs.is_old(Object("k", 1, now - timedelta(hours=hours)), now) is old


def test_an_object_named_by_its_content_is_kept_young(place: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    place.keep("datasets/d/dataset.json", b"{}")
    first = place.read("datasets/d/dataset.json")
    place.keep("datasets/d/dataset.json", b"{}")
    assert place.read("datasets/d/dataset.json") == first
    monkeypatch.setattr(blobs, "FRESH", timedelta(seconds=-3600))
    before = place.look("datasets/d/dataset.json")
    place.keep("datasets/d/dataset.json", b"{}")
    after = place.look("datasets/d/dataset.json")
    assert before is not None and after is not None and after.modified >= before.modified
    with pytest.raises(IntegrityError, match="holds other bytes than its name says"):
        place.keep("datasets/d/dataset.json", b"[]")


def test_a_key_that_leaves_the_folder_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"x")
    with pytest.raises(InputError, match="must be a plain path"):
        Store.from_environment((tmp_path / "store").as_uri()).delete("../precious")
    assert (tmp_path / "precious").exists()
