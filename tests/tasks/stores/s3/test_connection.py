"""What the network does to us: connections that break in the middle, servers that are none."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.exceptions import IncompleteReadError

from tasks.contracts.errors import ConflictError, IngotError, InputError, IntegrityError, UnavailableError
from tasks.stores.s3 import Store


@dataclass
class Breaking:
    """A client whose downloads break off after so many bytes, so many times."""

    client: Any
    after: int
    times: int
    ranges: list[str] = field(default_factory=list)

    def get_object(self, **arguments: Any) -> Any:
        self.ranges.append(arguments.get("Range", ""))
        answer = self.client.get_object(**arguments)
        if self.times:
            self.times -= 1
            answer["Body"] = Torn(answer["Body"], self.after)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


@dataclass
class Torn:
    body: Any
    after: int

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        yield self.body.read(self.after)
        raise IncompleteReadError(actual_bytes=self.after, expected_bytes=-1)


def through(store: Store, client: Any) -> Store:
    return replace(store, connection=replace(store.connection, client=client))


def test_a_download_goes_on_where_its_connection_broke(store: Store) -> None:
    content = os.urandom(1_000_000)
    artifact = store.put_bytes(content)
    breaking = Breaking(store.connection.client, after=100_000, times=3)
    assert through(store, breaking).get_bytes(artifact) == content
    assert breaking.ranges == ["", "bytes=100000-", "bytes=200000-", "bytes=300000-"]


def test_a_download_that_breaks_at_its_very_end_is_whole(store: Store) -> None:
    store.create("a", b"12345")
    found = through(store, Breaking(store.connection.client, after=5, times=1)).read("a")
    assert found is not None
    assert found.content == b"12345"


def test_a_download_that_breaks_all_the_time_is_given_up(store: Store) -> None:
    store.create("a", b"123456789")
    with pytest.raises(UnavailableError, match=r"does not answer \(s3://ingot/.*/a broke off 6 times\)"):
        through(store, Breaking(store.connection.client, after=1, times=99)).read("a")


def test_a_download_whose_object_was_replaced_meanwhile_is_refused(store: Store) -> None:
    store.create("a", b"123456789")
    found = store.connection.open("ingot", f"{store.prefix}a")
    torn = through(store, Breaking(store.connection.client, after=3, times=1))
    pieces = torn.connection.open("ingot", f"{store.prefix}a").pieces
    assert next(pieces) == b"123"
    store.replace("a", b"abcdefghi", found.etag)
    with pytest.raises(ConflictError, match="was written by somebody else first: read it again"):
        next(pieces)


class Cut:
    """A proxy to the store that drops the answers to writes: the bytes arrive, nobody learns of it."""

    def __init__(self, target: str, losses: int) -> None:
        host, _, port = target.partition(":")
        self.target, self.losses, self.lock = (host, int(port)), losses, threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client: socket.socket) -> None:
        """One request with its answer, read until both sides have said all; each connection carries one."""
        with client, socket.create_connection(self.target) as server:
            request = self.request(client)
            if not request:
                return
            server.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            answer = b"".join(iter(lambda: server.recv(65536), b""))
            if request.startswith(b"PUT"):
                with self.lock:
                    self.losses -= 1
                    if self.losses >= 0:
                        return
            client.sendall(answer)

    @staticmethod
    def request(client: socket.socket) -> bytes:
        got = b""
        while b"\r\n\r\n" not in got:
            piece = client.recv(65536)
            if not piece:
                return b""
            got += piece
        head, _, body = got.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if fields.pop(b"expect", b""):
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"expect:"))
        while len(body) < int(fields.get(b"content-length", 0)):
            body += client.recv(65536)
        return head + b"\r\n\r\n" + body


@pytest.fixture
def cut(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cut]:
    proxy = Cut(store.connection.endpoint, losses=0)
    thread = threading.Thread(target=proxy.run, daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    yield proxy
    proxy.listener.shutdown(socket.SHUT_RDWR)
    proxy.listener.close()


@pytest.mark.parametrize("losses", [1, 3, 9])
def test_a_commit_whose_answers_the_network_lost_is_known_to_have_won(store: Store, cut: Cut, losses: int) -> None:
    cut.losses = losses
    assert Store.from_environment(prefix=store.prefix).create("a", b"mine")
    found = store.read("a")
    assert found is not None
    assert found.content == b"mine"


def test_a_commit_whose_answers_the_network_lost_is_known_to_have_lost(store: Store, cut: Cut) -> None:
    store.create("a", b"theirs")
    cut.losses = 1
    assert not Store.from_environment(prefix=store.prefix).create("a", b"mine")


@contextmanager
def serving(status: int, body: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A web server that gives every request the same answer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_PUT = do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def error_body(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>hunter2</Message></Error>".encode()


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (404, b"<html>not here</html>", InputError, "answers, but not as S3 does: point AWS_ENDPOINT_URL at an S3"),
        (404, b"", InputError, "answers, but not as S3 does"),
        (500, error_body("InternalError"), UnavailableError, r"does not answer \(500 InternalError\): run `ingot up`"),
        (503, error_body("SlowDown"), UnavailableError, r"does not answer \(503 SlowDown\)"),
        (403, error_body("AccessDenied"), InputError, r"refused s3://ingot/a \(AccessDenied\), but the key must be"),
        (400, error_body("ExpiredToken"), InputError, r"\(ExpiredToken\), but the key must be allowed to use it"),
        (400, error_body("AuthorizationHeaderMalformed"), InputError, "region is 'us-east-1', but s3://ingot/a lies"),
        (400, error_body("Whatever"), InputError, r"refused s3://ingot/a \(Whatever\): see what the store's log says"),
    ],
)
def test_each_refusal_is_one_line_in_our_words(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, status: int, body: bytes, error: type[IngotError], words: str
) -> None:
    with serving(status, body, monkeypatch) as endpoint, pytest.raises(error, match=words) as caught:
        Store.from_environment().read("a")
    assert endpoint in str(caught.value) or "region" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_server_that_redirects_everything_ends_in_one_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore follows it until the stack ends; where exactly that happens decides between two sentences."""
    words = "answers, but not as S3 does|does not answer .HTTPClientError."
    with serving(301, b"<html>moved</html>", monkeypatch), pytest.raises(IngotError, match=words):
        Store.from_environment().read("a")


def test_bytes_that_change_on_their_way_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(400, error_body("BadDigest"), monkeypatch), pytest.raises(IntegrityError, match="did not arrive as"):
        Store.from_environment().create("a", b"")


@pytest.mark.parametrize("work", [lambda s: s.read("a"), lambda s: list(s.keys("a")), lambda s: s.create("a", b"")])
@pytest.mark.parametrize("page", [b"<html>welcome</html>", b"{}"])
def test_an_answer_of_a_foreign_web_server_is_no_success(
    store: Store, monkeypatch: pytest.MonkeyPatch, page: bytes, work: Callable[[Store], object]
) -> None:
    with serving(200, page, monkeypatch), pytest.raises(IngotError, match="not as S3 does|does not answer .500."):
        work(Store.from_environment())
