"""The real store passes; stores that could lose a commit, or that anybody can read, are refused."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tasks.contracts.errors import ConflictError, UnavailableError
from tasks.stores.s3 import Store


class Careless:
    """An S3 of a few lines that keeps objects in memory, and as many promises as it is told to.

    Args:
        conditions: Whether If-None-Match and If-Match are honoured.
        open_to: What strangers may do: any of "read", "list", "write".
    """

    def __init__(self, *, conditions: bool, open_to: str = "") -> None:
        objects: dict[str, bytes] = {}
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.refuses("write"):
                    return self.answer(403)
                with lock:
                    standing = objects.get(self.path)
                    wanted = self.headers.get("If-Match")
                    taken = self.headers.get("If-None-Match") == "*" and standing is not None
                    moved = wanted is not None and (standing is None or wanted != etag(standing))
                    if conditions and (taken or moved):
                        return self.answer(412)
                    objects[self.path] = body
                return self.answer(200, etag=etag(body))

            def do_GET(self) -> None:
                if "list-type=2" in self.path:
                    page = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
                    return self.answer(403) if self.refuses("list") else self.answer(200, page)
                standing = objects.get(self.path)
                if self.refuses("read"):
                    return self.answer(403)
                if standing is None:
                    return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
                return self.answer(200, standing, etag(standing))

            do_HEAD = do_GET

            def do_DELETE(self) -> None:
                objects.pop(self.path, None)
                self.answer(204)

            def refuses(self, verb: str) -> bool:
                return "Authorization" not in self.headers and verb not in open_to

            def answer(self, status: int, body: bytes = b"", etag: str = "") -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if etag:
                    self.send_header("ETag", etag)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.objects = objects
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Careless]:
    found = Careless(**request.param)
    monkeypatch.setenv("AWS_ENDPOINT_URL", found.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_the_real_store_passes_and_remembers_it(store: Store) -> None:
    store.probe()
    assert list(store.keys("probe/")) == ["probe/passed"]
    store.probe()


@pytest.mark.parametrize("careless", [{"conditions": True}], indirect=True)
def test_a_careful_store_passes(careless: Careless) -> None:
    Store.from_environment().probe()
    assert list(careless.objects) == ["/ingot/probe/passed"]


@pytest.mark.parametrize("careless", [{"conditions": False}], indirect=True)
def test_refuses_a_store_where_several_writers_win(careless: Careless) -> None:
    with pytest.raises(ConflictError) as caught:
        Store.from_environment().probe()
    assert str(caught.value) == (
        f"S3 at {careless.endpoint.removeprefix('http://')} let 8 of 8 writers win the same IfNoneMatch write, "
        "but exactly one must: use a store with conditional writes (AWS S3, SeaweedFS, MinIO)"
    )
    assert careless.objects == {}


@pytest.mark.parametrize(
    "careless", [{"conditions": True, "open_to": verb} for verb in ("read", "list", "write")], indirect=True
)
def test_refuses_a_store_that_is_open_to_strangers(careless: Careless, request: pytest.FixtureRequest) -> None:
    with pytest.raises(ConflictError, match=r"lets anybody (read|list|write) bucket 'ingot', but anonymous requests"):
        Store.from_environment().probe()
    assert careless.objects == {}


@pytest.mark.parametrize("careless", [{"conditions": True}], indirect=True)
def test_says_that_nobody_answers(careless: Careless) -> None:
    careless.server.shutdown()
    careless.server.server_close()
    with pytest.raises(UnavailableError, match="does not answer"):
        Store.from_environment().probe()
