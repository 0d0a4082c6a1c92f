import hashlib
import os
import secrets
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.contracts.errors import DataError, IngotError, InputError, IntegrityError, UnavailableError
from tasks.stores.s3 import Store, Versioned, blobs
from tasks.stores.s3.connection import Connection


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Forgetful:
    """A client that writes, and then loses the answer: each put_object in turn, as often as told."""

    client: Any
    losses: int
    before: bool = False
    puts: int = field(default=0)

    def put_object(self, **arguments: Any) -> Any:
        self.puts += 1
        if self.puts > self.losses:
            return self.client.put_object(**arguments)
        if not self.before:
            self.client.put_object(**arguments)
        raise ReadTimeoutError(endpoint_url="http://somewhere")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


def forgetful(store: Store, losses: int, *, before: bool = False) -> Store:
    client = Forgetful(store.connection.client, losses, before=before)
    return replace(store, connection=replace(store.connection, client=client))


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


# create and replace


def test_creates_an_object_once(store: Store) -> None:
    assert store.create("a", b"first")
    assert not store.create("a", b"second")
    found = store.read("a")
    assert found is not None
    assert found.content == b"first"


def test_creating_the_same_bytes_again_is_a_success(store: Store) -> None:
    assert store.create("a", b"same")
    assert store.create("a", b"same")


def test_reads_none_where_nothing_stands(store: Store) -> None:
    assert store.read("nothing") is None


def test_exactly_one_of_many_creators_wins(store: Store) -> None:
    for round_ in range(3):
        won = at_once(8, lambda writer, r=round_: store.create(f"race/{r}", f"writer {writer}".encode()))
        found = store.read(f"race/{round_}")
        assert won.count(True) == 1
        assert found is not None
        assert found.content == f"writer {won.index(True)}".encode()


def test_a_writer_whose_answers_are_all_lost_still_knows_that_it_won(store: Store) -> None:
    assert forgetful(store, losses=99).create("a", b"mine")


def test_a_writer_whose_answer_is_lost_still_knows_that_it_lost(store: Store) -> None:
    assert store.create("a", b"theirs")
    assert not forgetful(store, losses=99, before=True).create("a", b"mine")


def test_a_write_that_never_arrived_is_made_again(store: Store) -> None:
    assert forgetful(store, losses=2, before=True).create("a", b"mine")
    assert store.read("a") is not None


def test_a_write_that_never_arrives_is_said_to_be_missing(store: Store) -> None:
    with pytest.raises(UnavailableError, match="is still as it was after 3 writes: see what the store's log says"):
        forgetful(store, losses=99, before=True).create("a", b"mine")
    assert store.read("a") is None


def test_replaces_what_was_read_and_nothing_else(store: Store) -> None:
    assert store.replace("p", b"1", None)
    first = store.read("p")
    assert first is not None
    assert store.replace("p", b"2", first.etag)
    assert not store.replace("p", b"3", first.etag)
    assert not store.replace("p", b"3", None)
    assert store.read("p") == Versioned(b"2", f'"{hashlib.md5(b"2").hexdigest()}"')


def test_does_not_replace_what_was_deleted(store: Store) -> None:
    assert not store.replace("p", b"1", '"d41d8cd98f00b204e9800998ecf8427e"')
    assert store.read("p") is None


def test_a_mover_whose_answers_are_lost_knows_whether_it_moved(store: Store) -> None:
    assert store.create("p", b"1")
    first = store.read("p")
    assert first is not None
    assert forgetful(store, losses=99).replace("p", b"2", first.etag)
    assert not forgetful(store, losses=99, before=True).replace("p", b"3", first.etag)


def test_exactly_one_of_many_movers_wins(store: Store) -> None:
    store.create("p", b"0")
    for _ in range(3):
        before = store.read("p")
        assert before is not None
        contents = [secrets.token_bytes(8) for _ in range(8)]
        won = at_once(8, lambda i, c=contents, etag=before.etag: store.replace("p", c[i], etag))
        after = store.read("p")
        assert won.count(True) == 1
        assert after is not None
        assert after.content == contents[won.index(True)]


def test_lists_keys_below_a_prefix_without_the_stores_own(store: Store) -> None:
    for name in ("k/2", "k/1", "other"):
        store.create(name, b"")
    assert list(store.keys("k/")) == ["k/1", "k/2"]
    assert store.uri("k/1") == f"s3://ingot/{store.prefix}k/1"


def test_lists_more_keys_than_one_page_holds(store: Store) -> None:
    at_once(16, lambda worker: [store.create(f"many/{worker:02}-{i:03}", b"") for i in range(63)])
    assert len(list(store.keys("many/"))) == 16 * 63 > 1000


def test_refuses_to_read_an_object_larger_than_a_record_can_be(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.stores.s3.OBJECT_BYTES", 10)
    store.create("a", b"eleven bytes")
    with pytest.raises(IntegrityError, match="has 12 bytes, but may have"):
        store.read("a")


# blobs


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(content=st.binary(max_size=3000), chunk=st.integers(1, 1000))
def test_content_of_any_length_comes_back_from_bytes_and_files(
    store: Store, tmp_path: Path, content: bytes, chunk: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blobs, "CHUNK_BYTES", max(chunk, len(content) // 20 or 1))
        (tmp_path / "in").write_bytes(content)
        artifact = store.put_file(tmp_path / "in")
        assert store.put_bytes(content) == artifact
    assert artifact.sha256 == sha256(content)
    assert artifact.size_bytes == len(content)
    assert store.get_bytes(artifact) == content
    assert store.fetch(artifact, tmp_path / "out").read_bytes() == content


def test_a_small_artifact_is_one_chunk_named_by_its_own_digest(store: Store) -> None:
    artifact = store.put_bytes(b"hello")
    assert artifact.chunks == (sha256(b"hello"),)
    assert artifact.uri == f"s3://ingot/{store.prefix}blobs/sha256/{sha256(b'hello')}"


def test_a_large_file_is_cut_into_chunks_of_64_mib(store: Store, tmp_path: Path) -> None:
    piece = os.urandom(2**20)
    (tmp_path / "large").write_bytes(piece * 65)
    artifact = store.put_file(tmp_path / "large")
    assert artifact.chunks == (sha256(piece * 64), sha256(piece))
    assert sha256(store.fetch(artifact, tmp_path / "copy").read_bytes()) == artifact.sha256


def test_storing_the_same_content_twice_and_at_once_is_fine(store: Store) -> None:
    artifacts = at_once(8, lambda _: store.put_bytes(b"the same"))
    assert len({artifact.sha256 for artifact in artifacts}) == 1


def test_stores_a_blob_although_answers_are_lost(store: Store) -> None:
    with pytest.raises(UnavailableError):
        forgetful(store, losses=1).put_bytes(b"lost")
    assert store.holds(forgetful(store, losses=1).put_bytes(b"lost"))


def test_knows_whether_an_artifact_still_stands(store: Store) -> None:
    artifact = store.put_bytes(b"here")
    assert store.holds(artifact)
    gone = artifact.model_copy(update={"chunks": (*artifact.chunks, sha256(b"gone"))})
    assert not store.holds(gone)


def test_refuses_a_blob_that_was_changed_in_the_store(store: Store, tmp_path: Path) -> None:
    artifact = store.put_bytes(b"honest")
    key = f"blobs/sha256/{artifact.sha256}"
    standing = store.read(key)
    assert standing is not None
    assert store.replace(key, b"forged", standing.etag)
    with pytest.raises(IntegrityError, match=f"{artifact.sha256} holds other bytes than its name says"):
        store.get_bytes(artifact)
    with pytest.raises(IntegrityError, match="holds other bytes"):
        store.fetch(artifact, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_refuses_a_blob_that_is_longer_than_its_record_before_copying_it_all(store: Store) -> None:
    artifact = store.put_bytes(b"x" * 3_000_000)
    with pytest.raises(IntegrityError, match="holds other bytes|is not what its 1 chunks give"):
        store.get_bytes(artifact.model_copy(update={"size_bytes": 10}))


def test_refuses_a_record_whose_chunks_give_something_else(store: Store) -> None:
    one, two = store.put_bytes(b"one"), store.put_bytes(b"two")
    with pytest.raises(IntegrityError, match=f"artifact {one.sha256} is not what its 1 chunks give"):
        store.get_bytes(one.model_copy(update={"chunks": two.chunks}))


def test_says_that_a_named_blob_is_missing(store: Store) -> None:
    artifact = store.put_bytes(b"here").model_copy(update={"chunks": (sha256(b"gone"),)})
    with pytest.raises(IntegrityError, match=f"{sha256(b'gone')} is missing, but is still named"):
        store.get_bytes(artifact)


def test_says_which_file_cannot_be_stored(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent cannot be read \(No such file or directory\)"):
        store.put_file(tmp_path / "absent")


def test_says_where_it_cannot_write(store: Store, tmp_path: Path) -> None:
    artifact = store.put_bytes(b"here")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(IngotError, match=r"file/below cannot be written \("):
        store.fetch(artifact, tmp_path / "file" / "below")


def test_fetching_makes_the_folder_and_replaces_an_old_copy(store: Store, tmp_path: Path) -> None:
    to = tmp_path / "a" / "b"
    store.fetch(store.put_bytes(b"old"), to)
    assert store.fetch(store.put_bytes(b"new"), to).read_bytes() == b"new"


def test_refuses_a_file_that_changes_while_it_is_stored(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"before")
    changing = replace(store, connection=replace(store.connection, client=Changing(store.connection.client, path)))
    with pytest.raises(IntegrityError, match="did not arrive as it was sent|changed while it was stored"):
        changing.put_file(path)


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


# sources


def test_downloads_one_object_under_its_own_name(store: Store, tmp_path: Path) -> None:
    store.create("in/rows.csv", b"a,b\n1,2\n")
    got = store.download(store.uri("in/rows.csv"), tmp_path / "to", max_bytes=100)
    assert got == tmp_path / "to" / "rows.csv"
    assert got.read_bytes() == b"a,b\n1,2\n"


@pytest.mark.parametrize("slash", ["", "/"])
def test_downloads_a_folder_with_all_below_it(store: Store, tmp_path: Path, slash: str) -> None:
    for key in ("in/zero/a.png", "in/one/b.png", "in/", "input/c.png"):
        store.create(key, key.encode())
    got = store.download(store.uri("in") + slash, tmp_path, max_bytes=100)
    files = {str(file.relative_to(tmp_path)): file.read_bytes() for file in got.rglob("*") if file.is_file()}
    assert files == {"in/zero/a.png": b"in/zero/a.png", "in/one/b.png": b"in/one/b.png"}


def test_refuses_a_source_above_the_limit_before_copying_it(store: Store, tmp_path: Path) -> None:
    store.create("in/a", b"123456")
    store.create("in/b", b"123456")
    with pytest.raises(DataError, match="holds 12 bytes, but max_bytes is 11: raise it, or name less data"):
        store.download(store.uri("in/"), tmp_path / "to", max_bytes=11)
    with pytest.raises(DataError, match="holds 6 bytes, but max_bytes is 5"):
        store.download(store.uri("in/a"), tmp_path / "to", max_bytes=5)
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("uri", ["s3://ingot/no/such", "s3://no-such-bucket/rows.csv", "s3://no-such-bucket/"])
def test_says_that_a_source_does_not_exist(store: Store, tmp_path: Path, uri: str) -> None:
    with pytest.raises(DataError, match=rf"{uri} does not exist at 127.0.0.1:\d+: check bucket and key"):
        store.download(uri, tmp_path, max_bytes=100)


@pytest.mark.parametrize("uri", ["/a/path", "http://host/a", "s3://", "s3:///key"])
def test_refuses_what_is_no_s3_address(store: Store, tmp_path: Path, uri: str) -> None:
    with pytest.raises(DataError, match="must be s3://bucket/key"):
        store.download(uri, tmp_path, max_bytes=100)


# what can go wrong


def test_says_within_seconds_that_nobody_listens(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{endpoint}")
    start = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        Store.from_environment().read("a")
    assert time.monotonic() - start < 8
    assert str(caught.value) == (
        f"S3 at {endpoint} does not answer (EndpointConnectionError): "
        "run `ingot up`, or point AWS_ENDPOINT_URL at a store that runs"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId"), ("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch")],
)
def test_says_that_credentials_are_wrong_and_never_what_they_are(
    monkeypatch: pytest.MonkeyPatch, store: Store, name: str, reason: str
) -> None:
    monkeypatch.setenv(name, "hunter2hunter2")
    for attempt in (lambda s: s.read("a"), lambda s: s.create("a", b""), lambda s: s.put_bytes(b"blob")):
        with pytest.raises(InputError) as caught:
            attempt(Store.from_environment())
        message = str(caught.value)
        assert "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in message
        assert reason in message or "403" in message
        assert "hunter2" not in message
        assert "\n" not in message


def test_says_that_credentials_are_missing(monkeypatch: pytest.MonkeyPatch, store: Store, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match="credentials for S3 at 127.0.0.1:.* are missing, but every request must be"):
        Store.from_environment().read("a")


@pytest.mark.parametrize("endpoint", ["nonsense", "http://"])
def test_refuses_an_endpoint_that_is_no_address(monkeypatch: pytest.MonkeyPatch, store: Store, endpoint: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(InputError, match=f"AWS_ENDPOINT_URL is '{endpoint}', but must be an address such as http://"):
        Store.from_environment()


def test_makes_a_missing_bucket_when_it_first_writes(store: Store) -> None:
    made = Store.from_environment(f"made-{secrets.token_hex(4)}")
    assert made.read("a") is None
    assert list(made.keys("")) == []
    assert not made.holds(store.put_bytes(b"elsewhere"))
    assert made.create("a", b"1")
    assert made.get_bytes(made.put_bytes(b"2")) == b"2"


def test_makes_a_missing_bucket_for_a_file(store: Store, tmp_path: Path) -> None:
    made = Store.from_environment(f"made-{secrets.token_hex(4)}")
    (tmp_path / "in").write_bytes(b"content")
    assert made.get_bytes(made.put_file(tmp_path / "in")) == b"content"


def test_makes_a_missing_bucket_in_another_region(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert Store.from_environment(f"made-{secrets.token_hex(4)}").create("a", b"1")


def test_several_first_writers_make_a_bucket_once(store: Store) -> None:
    made = Store.from_environment(f"made-{secrets.token_hex(4)}")
    assert all(at_once(8, lambda i: made.create(f"{i}", b"1")))


@pytest.mark.parametrize("bucket", ["Bad_Bucket", "-bad", "b"])
def test_refuses_a_bucket_name_that_s3_refuses(store: Store, bucket: str) -> None:
    with pytest.raises(InputError) as caught:
        Store.from_environment(bucket).create("a", b"1")
    assert bucket in str(caught.value)


def test_takes_the_bucket_from_the_environment(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Store.from_environment().bucket == "ingot"
    monkeypatch.setenv("INGOT_BUCKET", "another")
    assert Store.from_environment().bucket == "another"
    assert Store.from_environment("named").bucket == "named"


def test_one_client_serves_all_stores_of_a_process(store: Store) -> None:
    assert Store.from_environment("a").connection is Store.from_environment("b").connection


def test_never_shows_its_client_or_secrets(store: Store, s3: Any) -> None:
    assert s3.secret_key not in repr(store) + repr(store.connection)


def test_reads_from_this_machine_past_a_company_proxy(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_REGION", "eu-west-3")  # another client, made under the proxy
    assert Store.from_environment("ingot", store.prefix).create("a", b"1")


def test_a_connection_can_be_shared_by_threads(store: Store) -> None:
    assert isinstance(store.connection, Connection)
    assert all(at_once(16, lambda i: store.get_bytes(store.put_bytes(str(i).encode())) == str(i).encode()))
