import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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


class Web(BaseHTTPRequestHandler):
    etag = '"1"'

    def do_HEAD(self):
        self.send_response(200)
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


def test_a_silent_server_is_unavailable(store):
    with pytest.raises(UnavailableError, match="did not answer"):
        fingerprint(store, "http://127.0.0.1:9/a.csv")
