import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tasks.contracts.errors import DataError, UnavailableError
from tasks.stores.fingerprints import fingerprint
from tasks.stores.s3 import Store


@pytest.fixture
def store(tmp_path):
    return Store.from_environment(f"file://{tmp_path}/store")


def test_a_file_is_told_by_its_bytes_and_not_by_its_age_or_name(store, tmp_path):
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    a.write_text("x,y\n1,2\n")
    b.write_text("x,y\n1,2\n")
    assert fingerprint(store, str(a)) == fingerprint(store, str(b))
    b.write_text("x,y\n1,3\n")
    assert fingerprint(store, str(a)) != fingerprint(store, str(b))


def test_a_folder_is_told_by_names_and_bytes(store, tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "1.csv").write_text("x\n1\n")
    first = fingerprint(store, str(folder))
    (folder / "2.csv").write_text("x\n1\n")
    assert fingerprint(store, str(folder)) != first
    (folder / "2.csv").unlink()
    assert fingerprint(store, str(folder)) == first
    (folder / "1.csv").rename(folder / "3.csv")
    assert fingerprint(store, str(folder)) != first


def test_what_is_not_there_is_refused(store, tmp_path):
    with pytest.raises(DataError, match="there is nothing there"):
        fingerprint(store, str(tmp_path / "none.csv"))


def test_an_unknown_scheme_is_left_to_whoever_reads_it(store):
    assert fingerprint(store, "ftp://host/a.csv") == ""


def test_any_bytes_may_be_a_name_and_what_cannot_be_read_is_refused(store, tmp_path):
    (tmp_path / "rows").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/rows/\xff.csv")).write_text("x\n1\n")
    assert len(fingerprint(store, str(tmp_path / "rows"))) == 64
    with pytest.raises(DataError, match="cannot be read"):
        fingerprint(store, "x" * 5000)


class Web(BaseHTTPRequestHandler):
    etag = '"1"'
    status = 200

    def do_HEAD(self):
        self.send_response(self.status)
        if self.etag:
            self.send_header("ETag", self.etag)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def web():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/a.csv"
    server.shutdown()
    server.server_close()


def test_a_web_page_is_told_by_a_strong_etag_alone(store, web, monkeypatch):
    first = fingerprint(store, web)
    assert len(first) == 64
    monkeypatch.setattr(Web, "etag", '"2"')
    assert fingerprint(store, web) not in ("", first)
    for weak in ('W/"2"', ""):
        monkeypatch.setattr(Web, "etag", weak)
        assert fingerprint(store, web) == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("X-Amz-Date=1&X-Amz-Expires=60&X-Amz-Signature=a", "X-Amz-Date=2&X-Amz-Expires=90&X-Amz-Signature=b"),
        ("X-Goog-Date=1&X-Goog-Signature=a", "X-Goog-Date=2&X-Goog-Signature=b"),
        ("sv=2&se=2026-01-01&sr=b&sp=r&sig=a", "sv=2&se=2026-02-02&sr=b&sp=r&sig=b"),
        ("Expires=1&Signature=a&Key-Pair-Id=K", "Expires=2&Signature=b&Key-Pair-Id=K"),
    ],
)
def test_a_link_that_is_signed_anew_leads_to_the_same(store, web, one, other):
    assert fingerprint(store, f"{web}?year=1&{one}") == fingerprint(store, f"{web}?year=1&{other}")
    assert fingerprint(store, f"{web}?year=1&{one}") != fingerprint(store, f"{web}?year=2&{one}")


def test_what_signs_nothing_belongs_to_the_address(store, web):
    assert fingerprint(store, f"{web}?se=1&expires=1") != fingerprint(store, f"{web}?se=2&expires=1")


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_server_that_cannot_answer_now_is_unavailable(store, web, monkeypatch, status):
    monkeypatch.setattr(Web, "status", status)
    with pytest.raises(UnavailableError, match=str(status)):
        fingerprint(store, web)


def test_what_is_gone_is_refused_and_who_lets_nobody_ask_is_mute(store, web, monkeypatch):
    monkeypatch.setattr(Web, "status", 404)
    with pytest.raises(DataError, match="404"):
        fingerprint(store, web)
    for status in (403, 405):
        monkeypatch.setattr(Web, "status", status)
        assert fingerprint(store, web) == ""


def test_a_silent_server_is_unavailable(store):
    with pytest.raises(UnavailableError, match="did not answer"):
        fingerprint(store, "http://127.0.0.1:9/a.csv")
