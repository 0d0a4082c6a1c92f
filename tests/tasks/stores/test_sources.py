import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tasks.contracts.errors import DataError, UnavailableError
from tasks.stores.sources import local_source

BODY = b"a,label\n1,0\n2,1\n"


class Site(BaseHTTPRequestHandler):
    """Answers with the status that the path names; `/long.csv` hides its length."""

    def do_GET(self):
        status = int(self.path.strip("/").split(".")[0]) if self.path[1:4].isdigit() else 200
        self.send_response(status)
        if status == 200 and self.path != "/long.csv":
            self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        if status == 200:
            self.wfile.write(BODY)

    def log_message(self, *args):
        """Tests stay quiet."""


@pytest.fixture
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class NoStore:
    """A store that nobody may ask."""


class Downloads:
    """A store that remembers what was asked of it."""

    def download(self, uri, to, max_bytes):
        return (uri, to, max_bytes)


def test_a_path_stays_where_it_is(tmp_path):
    (tmp_path / "ä.csv").write_bytes(BODY)
    assert local_source(NoStore(), str(tmp_path / "ä.csv"), tmp_path / "to", 100) == tmp_path / "ä.csv"


def test_a_web_address_is_copied(site, tmp_path):
    path = local_source(NoStore(), f"{site}/rows.csv", tmp_path, 100)
    assert path.name == "rows.csv" and path.read_bytes() == BODY


def test_s3_is_left_to_the_store(tmp_path):
    assert local_source(Downloads(), "s3://b/k", tmp_path, 7) == ("s3://b/k", tmp_path, 7)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere.csv", "ingest.source is 'nowhere.csv', but there is nothing there"),
        ("ftp://host/rows.csv", "ftp:// is not read"),
        ("http://[::bad/rows.csv", "is no web address"),
    ],
)
def test_refuses_a_source_that_is_none(source, words, tmp_path):
    with pytest.raises(DataError, match=words):
        local_source(NoStore(), source, tmp_path, 100)


@pytest.mark.parametrize(
    ("page", "error", "words"),
    [
        ("404.csv", DataError, "answered 404, but must answer 200"),
        ("503.csv", UnavailableError, "answered 503: try again later"),
        ("rows.csv", DataError, "holds 16 bytes, but max_bytes is 8"),
        ("long.csv", DataError, "holds more than max_bytes, which is 8"),
    ],
)
def test_refuses_an_answer_that_is_no_data(page, error, words, site, tmp_path):
    with pytest.raises(error, match=words):
        local_source(NoStore(), f"{site}/{page}", tmp_path, 8)


def test_a_server_that_is_away_can_be_tried_again(tmp_path):
    with pytest.raises(UnavailableError, match="did not answer"):
        local_source(NoStore(), "http://127.0.0.1:9/rows.csv", tmp_path, 8)


def test_a_folder_larger_than_allowed_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(BODY)
    with pytest.raises(DataError, match="holds 16 bytes, but max_bytes is 8"):
        local_source(NoStore(), str(tmp_path), tmp_path / "to", 8)
