import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from tasks.contracts.errors import DataError, UnavailableError
from tasks.stores.fingerprints import fingerprint
from tasks.stores.sources import local_source
from tasks.trainers.launch import address_of

HIDDEN = "xk7Q-hidden"
BODY = b"a,label\n1,0\n2,1\n"
PAIR = "Basic " + base64.b64encode(f"ann:{HIDDEN}".encode()).decode()


class Closed(BaseHTTPRequestHandler):
    """Wants a password, or a token for what begins with /token; /away leads to the same server by another name."""

    def do_GET(self):
        self.server.seen.append(self.headers.get("Authorization"))
        place = urlsplit(self.path)
        if place.path == "/away":
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port}/token.csv?token={HIDDEN}")
            self.end_headers()
            return
        by_token = place.path.startswith("/token") and parse_qs(place.query).get("token") == [HIDDEN]
        self.send_response(200 if by_token or self.headers.get("Authorization") == PAIR else 401)
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(BODY)

    do_HEAD = do_GET

    def log_message(self, *args):
        """Tests stay quiet."""


@pytest.fixture
def site(monkeypatch, tmp_path):
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Closed)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def url(site, path):
    return f"http://127.0.0.1:{site.server_port}{path}"


@pytest.fixture
def netrc(monkeypatch, tmp_path):
    file = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(file))
    file.write_text(f"machine 127.0.0.1 login ann password {HIDDEN}\n")
    file.chmod(0o600)
    return file


def test_a_password_comes_from_netrc_and_goes_to_no_other_host(site, netrc, tmp_path):
    assert local_source(None, url(site, "/rows.csv"), tmp_path / "to", 100).read_bytes() == BODY
    assert fingerprint(None, url(site, "/rows.csv"))
    del site.seen[:]
    local_source(None, url(site, "/away"), tmp_path / "to", 100)
    assert site.seen == [PAIR, None]


def test_without_it_the_refusal_says_where_it_goes(site, tmp_path):
    with pytest.raises(DataError, match="answered 401, but must let us in: put user and password into ~/.netrc"):
        local_source(None, url(site, "/rows.csv"), tmp_path, 100)


@pytest.mark.parametrize("content", [f"machine 127.0.0.1 {HIDDEN}", f"{HIDDEN} x", "machine"])
def test_a_broken_netrc_is_named_and_not_quoted(site, netrc, tmp_path, content):
    netrc.write_text(content)
    with pytest.raises(DataError, match=r"~/\.netrc cannot be read") as caught:
        local_source(None, url(site, "/rows.csv"), tmp_path, 100)
    assert HIDDEN not in f"{caught.value} {caught.value.__cause__}"


def test_an_address_with_its_token_comes_from_the_environment(site, tmp_path, monkeypatch):
    monkeypatch.setenv("INGOT_SOURCE_ROWS", url(site, f"/token/rows.csv?token={HIDDEN}"))
    path = local_source(None, "env://INGOT_SOURCE_ROWS", tmp_path, 100)
    assert path.name == "rows.csv" and path.read_bytes() == BODY
    assert address_of("env://INGOT_SOURCE_ROWS").endswith(HIDDEN)


def test_a_link_that_is_signed_anew_leads_to_the_same(site, monkeypatch):
    found = set()
    for signature in ("first-time", "second-time"):
        address = url(site, f"/token.csv?token={HIDDEN}&X-Amz-Signature={signature}")
        monkeypatch.setenv("INGOT_SOURCE_ROWS", address)
        found.add(fingerprint(None, "env://INGOT_SOURCE_ROWS"))
    assert len(found) == 1 and found != {""}


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        ("", DataError, "ingest.source is env://INGOT_SOURCE_ROWS, but INGOT_SOURCE_ROWS is empty: export it"),
        (HIDDEN, DataError, r"INGOT_SOURCE_ROWS is no http\(s\):// address"),
        (f"http://ann:{HIDDEN}/@host", DataError, "is no web address"),
        (f"http://ann:{HIDDEN}@127.0.0.1:1/a", UnavailableError, "env://INGOT_SOURCE_ROWS did not answer"),
    ],
)
def test_what_the_variable_holds_is_never_shown(tmp_path, monkeypatch, value, error, words):
    monkeypatch.setenv("INGOT_SOURCE_ROWS", value)
    with pytest.raises(error, match=words) as caught:
        local_source(None, "env://INGOT_SOURCE_ROWS", tmp_path, 100)
    assert HIDDEN not in f"{caught.value} {caught.value.__cause__}"
