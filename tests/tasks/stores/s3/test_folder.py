"""A store in a folder keeps the promises of one in S3."""

import hashlib
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.contracts.errors import DataError, IngotError, InputError, IntegrityError
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store, blobs
from tasks.stores.s3.errors import ConditionFailedError
from tasks.stores.s3.folder import Folder, open_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a store"


@pytest.fixture
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "INGOT_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    return Store.from_environment(folder.as_uri())


def files(folder: Path) -> set[str]:
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {path for path in found if path != ".ingot-store/lock"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(content=st.binary(max_size=500), times=st.integers(1, 20), chunk=st.integers(1, 2000))
def test_content_of_any_length_comes_back(store: Store, tmp_path: Path, content: bytes, times: int, chunk: int) -> None:
    content *= times
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blobs, "CHUNK_BYTES", max(chunk, len(content) // 20 or 1))
        (tmp_path / "in").write_bytes(content)
        artifact = store.put_file(tmp_path / "in")
        assert store.put_bytes(content) == artifact
    assert artifact.sha256 == hashlib.sha256(content).hexdigest()
    assert artifact.transit_bytes <= artifact.size_bytes
    assert store.get_bytes(artifact) == content
    assert store.fetch(artifact, tmp_path / "out").read_bytes() == content
    assert store.holds(artifact)


def test_objects_are_files_named_by_their_keys(store: Store, folder: Path) -> None:
    store.create("models/digits/a.json", b"{}")
    plain, repeated = store.put_bytes(b"hello"), store.put_bytes(b"hello" * 1000)
    assert files(folder) == {
        "models/digits/a.json",
        f"blobs/sha256/{plain.sha256}",
        f"blobs/sha256/{repeated.sha256}.zst",
    }
    packed = Path(folder, f"blobs/sha256/{repeated.sha256}.zst").read_bytes()
    assert zstandard.decompress(packed) == b"hello" * 1000
    assert repeated.transit_bytes == len(packed)


def test_addresses_name_the_folder(store: Store, folder: Path) -> None:
    assert store.uri("models/a.json") == f"{folder.as_uri()}/models/a.json"
    assert store.put_bytes(b"a").uri.startswith(f"{folder.as_uri()}/blobs/sha256/")


def test_a_prefix_is_a_folder_below(store: Store, folder: Path) -> None:
    below = Store.from_environment(folder.as_uri(), "team/")
    below.create("k/1", b"")
    assert files(folder) == {"team/k/1"}
    assert list(below.keys("k/")) == ["k/1"]


def test_creates_once_and_replaces_what_was_read(store: Store) -> None:
    assert store.read("p") is None
    assert store.create("p", b"1")
    assert store.create("p", b"1")
    assert not store.create("p", b"2")
    first = store.read("p")
    assert first is not None
    assert store.replace("p", b"2", first.etag)
    assert not store.replace("p", b"3", first.etag)
    assert not store.replace("p", b"3", None)
    second = store.read("p")
    assert second is not None
    assert second.content == b"2"


def test_content_that_comes_back_has_another_etag(store: Store) -> None:
    etags = set()
    for content in (b"1", b"2", b"1"):
        standing = store.read("p")
        assert store.replace("p", content, standing.etag if standing else None)
        etags.add(store.connection.client.head_object(Key="p")["ETag"])
    assert len(etags) == 3


def test_does_not_replace_what_is_not_there(store: Store) -> None:
    assert not store.replace("p", b"1", '"1-2-3"')
    assert store.read("p") is None


@pytest.mark.parametrize("work", ["create", "replace"])
def test_exactly_one_of_many_threads_wins(store: Store, work: str) -> None:
    for turn in range(10):
        if work == "replace":
            store.create(f"k{turn}", b"before")
        standing = store.read(f"k{turn}")
        etag = standing.etag if standing else None
        with ThreadPoolExecutor(8) as pool:
            contents = [f"writer {i}".encode() for i in range(8)]
            won = list(pool.map(lambda c, k=f"k{turn}", e=etag: store.replace(k, c, e), contents))
        found = store.read(f"k{turn}")
        assert found is not None
        assert won.count(True) == 1
        assert found.content == contents[won.index(True)]


def count(root: str, name: str, times: int) -> None:
    """Steps up a counter that others step up too; signed, since who finds its own bytes standing has won."""
    store = Store.from_environment(root)
    for _ in range(times):
        moved = False
        while not moved:
            standing = store.read("counter")
            number = int(standing.content.split()[0]) if standing else 0
            moved = store.replace("counter", f"{number + 1} {name}".encode(), standing.etag if standing else None)


def test_no_step_of_several_processes_is_lost(store: Store) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.starmap(count, [(store.bucket, name, 100) for name in "abc"])
    found = store.read("counter")
    assert found is not None
    assert found.content.split()[0] == b"300"


def test_lists_keys_in_order_and_none_of_its_own(store: Store) -> None:
    for key in ("k/2", "k/1/deep", "k/1", "other"):
        if key != "k/1":
            store.create(key, b"")
    store.put_bytes(b"x" * 1000)
    assert list(store.keys("k/")) == ["k/1/deep", "k/2"]
    assert list(store.keys("k/1")) == ["k/1/deep"]
    assert len(list(store.keys(""))) == 4
    assert list(store.keys("absent/")) == []
    assert list(store.keys(f"blobs/sha256/{hashlib.sha256(b'x' * 1000).hexdigest()}")) != []


def test_an_object_has_one_file_whatever_its_encoding(store: Store, folder: Path) -> None:
    client = store.connection.client
    for encoding, name in [("", "k"), ("zstd", "k.zst"), ("", "k")]:
        client.put_object(Key="k", Body=b"content", ContentEncoding=encoding)
        assert files(folder) == {name}
        assert client.head_object(Key="k")["ContentEncoding"] == encoding
        with pytest.raises(ConditionFailedError):
            client.put_object(Key="k", Body=b"other", IfNoneMatch="*")


def test_a_write_that_fails_leaves_nothing(store: Store, folder: Path) -> None:
    with pytest.raises(IntegrityError, match="k did not arrive as it was sent"):
        store.connection.client.put_object(Key="k", Body=b"content", ChecksumSHA256="AAAA")
    assert files(folder) == set()


def test_refuses_a_file_that_changes_while_it_is_stored(store: Store, tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"before")
    changing = replace(store, connection=replace(store.connection, client=Changing(store.connection.client, path)))
    with pytest.raises(IntegrityError, match="did not arrive as it was sent"):
        changing.put_file(path)
    assert files(folder) == set()


@dataclass
class Changing:
    """A client that meets a file which somebody writes to."""

    client: Any
    path: Path

    def put_object(self, **arguments: Any) -> Any:
        self.path.write_bytes(b"after!")
        return self.client.put_object(**arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


def test_refuses_a_blob_that_was_changed_in_the_folder(store: Store, folder: Path) -> None:
    artifact = store.put_bytes(b"honest" * 100)
    Path(folder, f"blobs/sha256/{artifact.sha256}.zst").write_bytes(zstandard.compress(b"forged" * 100))
    with pytest.raises(IntegrityError, match=f"{artifact.sha256} holds other bytes than its name says"):
        store.get_bytes(artifact)


def test_says_that_a_named_blob_is_missing(store: Store, folder: Path) -> None:
    artifact = store.put_bytes(b"here")
    Path(folder, f"blobs/sha256/{artifact.sha256}").unlink()
    assert not store.holds(artifact)
    with pytest.raises(IntegrityError, match="is missing, but is still named"):
        store.get_bytes(artifact)


@pytest.mark.parametrize("key", ["../out", "/etc/passwd", "a//b", "a/./b", "", "a\0b", "a.zst", ".ingot-store/lock"])
def test_refuses_keys_that_are_no_plain_paths(store: Store, key: str) -> None:
    for work in (store.read, lambda k: store.create(k, b"")):
        with pytest.raises(InputError, match="must be a plain path that does not end in .zst"):
            work(key)


@pytest.mark.parametrize("address", ["file://relative/path", "file://", "file:folder"])
def test_refuses_an_address_that_is_no_absolute_folder(address: str) -> None:
    with pytest.raises(InputError, match="must be file:///absolute/path: name it so"):
        open_folder(address)


WORK: list[Callable[[Store], object]] = [lambda s: s.create("k", b""), lambda s: s.put_bytes(b"x" * 1000)]


@pytest.mark.parametrize("work", WORK)
def test_says_in_one_line_that_the_folder_is_none(store: Store, folder: Path, work: Callable[[Store], object]) -> None:
    folder.write_bytes(b"a file")
    with pytest.raises(InputError, match=r"must be one that we may read and write \(.*\): name another") as caught:
        work(store)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_says_in_one_line_that_the_folder_is_not_ours(store: Store, folder: Path) -> None:
    folder.mkdir(mode=0o500)
    with pytest.raises(InputError, match=r"may read and write \(Permission denied\): name another"):
        store.create("k", b"")


def test_a_source_that_cannot_be_read_is_not_the_folders_fault(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent cannot be read"):
        store.put_file(tmp_path / "absent")


def test_a_disk_that_fails_is_said_in_one_line(tmp_path: Path) -> None:
    full = Folder(Path("/dev/full"))
    with pytest.raises(IngotError, match="store is folder /dev/full|store in folder /dev/full failed"):
        full.put_object(Key="k", Body=b"x")


def test_needs_no_probe(store: Store, folder: Path) -> None:
    store.probe()
    assert not folder.exists()


def test_publishers_at_once_leave_no_gap_in_a_journal_in_a_folder(store: Store) -> None:
    def publish(name: str) -> int:
        said = {"version": name, "manifest": name, "run_key": name, "actor": "ann", "reason": "why"}
        return Journal(store, "digits").append(action="publish", **said).seq

    with ThreadPoolExecutor(4) as pool:
        places = list(pool.map(publish, "abcdefgh"))
    assert sorted(places) == list(range(1, 9))
    assert [entry.seq for entry in Journal(store, "digits").entries()] == list(range(1, 9))
