import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest

from deployments.serving.address import listening
from deployments.serving.app import App
from deployments.serving.background import running
from deployments.serving.library import Library
from deployments.serving.watcher import Watcher
from tasks.contracts.errors import ConfigError, UnavailableError
from tasks.stores.s3 import Store
from tasks.stores.signing import Keyring

ROW = {"age": 41, "city": "Oslo", "height": 1.8}
STATE = tempfile.TemporaryDirectory(prefix="ingot-state-")
S3_VARIABLES = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION", "INGOT_BUCKET")


def test_answers_over_http_as_over_asgi(http, ask):
    body = {"inputs": [ROW]}
    reply = http.post("/predict/mixed", json=body)
    assert reply.status_code == 200
    assert reply.json() == ask("POST", "/predict/mixed", body).body
    assert "server" not in reply.headers


def test_takes_json_without_a_content_type_as_tritonclient_sends_it(http):
    tensor = {"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    content = httpx.Request("POST", "/", json={"id": "1", "inputs": [tensor]}).content
    request = http.build_request("POST", "/v2/models/numbers/infer", content=content)
    request.headers.pop("content-type", None)
    reply = http.send(request)
    assert reply.status_code == 200
    assert "inference-header-content-length" not in reply.headers
    assert reply.json()["outputs"][0]["data"] == [6.0]


def test_the_connection_outlives_a_body_that_was_refused(http):
    for content in (b" " * 3_000_000, iter([b" " * 700_000] * 3)):
        assert http.post("/predict/mixed", content=content).status_code == 413
        assert http.post("/predict/mixed", json={"inputs": [ROW]}).status_code == 200


def test_a_head_request_has_no_body(http):
    reply = http.head("/v2")
    assert (reply.status_code, reply.content) == (200, b"")


def raw(http, request):
    with socket.create_connection((http.base_url.host, http.base_url.port), timeout=10) as plug:
        plug.sendall(request)
        answer = b""
        while chunk := plug.recv(65536):
            answer += chunk
    return answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"POST /predict/mixed HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\nConnection: close\r\n\r\n",
        b"POST /predict/mixed HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\nConnection: close\r\n\r\n",
        b"POST /predict/%2e%2e%2fmixed HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        b"POST /predict/mixed HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        b"GET /predict/\xff\xfe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ],
)
def test_a_hostile_request_gets_4xx_and_the_server_lives(http, request_bytes):
    assert re.match(rb"HTTP/1.1 4\d\d ", raw(http, request_bytes))
    assert http.get("/v2/health/live").status_code == 200


def test_waits_to_be_told_that_the_body_may_come(http):
    head = b"POST /predict/mixed HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
    answer = raw(http, head + b"Connection: close\r\n\r\n{}")
    assert answer.startswith(b"HTTP/1.1 100 ")
    assert b"HTTP/1.1 400 " in answer


def test_no_request_fails_and_none_is_answered_by_a_wrong_version_while_versions_change(tiny, store):
    library = Library()
    watcher = Watcher(store, library)
    tiny.publish(store, "numbers", "1", tiny.numbers(1.0))
    watcher.look()
    app = App(library)
    stop, answers, faults = threading.Event(), [], []

    def client(base_url):
        with httpx.Client(base_url=base_url, timeout=20) as own:
            while not stop.is_set():
                reply = own.post("/predict/numbers", json={"inputs": [{"a": 1, "b": 0}] * 3})
                body = reply.json()
                if reply.status_code != 200 or {out["value"] for out in body["outputs"]} != {float(body["version"])}:
                    faults.append(body)
                answers.append(body.get("version"))

    with tiny.carried(app) as http, running(partial(watcher.run, poll_seconds=0.01), "watcher"):
        threads = [threading.Thread(target=client, args=(http.base_url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for version in range(2, 22):
                spoil = b"broken" if version % 5 == 0 else None
                tiny.publish(store, "numbers", str(version), tiny.numbers(float(version)), tamper=spoil)
                if spoil is None:
                    tiny.wait_until(lambda: answers.count(str(version)) >= 10)  # noqa: B023
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert faults == []


def test_a_slow_run_does_not_hold_up_a_quick_request(tiny, store):
    """A session that takes half a second is measured as slow while it is warmed, and leaves the event loop."""
    library = Library()
    tiny.publish(store, "numbers", "1", tiny.numbers())
    Watcher(store, library).look()
    found = library.find("numbers")

    class Slow:
        def run(self, inputs):
            time.sleep(0.5)
            return found.session.run(inputs)

    library.install(replace(found, version="2", session=Slow(), row_seconds=0.5))
    with tiny.carried(App(library)) as http:
        slow = threading.Thread(
            target=http.post, args=("/predict/numbers",), kwargs={"json": {"inputs": [{"a": 1, "b": 2}]}}
        )
        slow.start()
        time.sleep(0.1)
        start = time.monotonic()
        assert http.get("/v2/health/live").status_code == 200
        assert time.monotonic() - start < 0.3
        assert slow.is_alive()
        slow.join()


def test_a_taken_port_is_refused_by_its_number():
    with listening("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(ConfigError, match=f"address is 127.0.0.1:{port}, but must be free"),
            listening("127.0.0.1", port),
        ):
            pass


def test_an_address_that_is_not_ours_is_refused():
    with pytest.raises(ConfigError, match="must be free and this machine's"), listening("192.0.2.1", 8080):
        pass


# From here on the real process, and from `s3` on the real store.


def environment(**variables):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "INGOT_"))}
    fixed = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        "AWS_REGION": "us-east-1",
        "INGOT_TRUSTED_KEYS": Keyring.from_environment().trusted_pem,
    }
    ours = {"INGOT_SERVING_PORT": "0", "INGOT_POLL_SECONDS": "0.05", "INGOT_SERVING_STATE": STATE.name}
    return kept | fixed | ours | variables


def ended(*names, **variables):
    command = [sys.executable, "-m", "deployments.serving", *names]
    done = subprocess.run(
        command, env=environment(**variables), capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stderr


@contextmanager
def process(folder, *names, **variables):
    """The serving process: the child, and a client of it."""
    log = folder / f"serving-{secrets.token_hex(4)}.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "deployments.serving", *names]
        variables = {"INGOT_SERVING_STATE": str(folder / "state")} | variables
        child = subprocess.Popen(command, env=environment(**variables), stderr=out, stdout=out)
    try:
        end = time.monotonic() + 60
        while (address := re.search(r"http://127\.0\.0\.1:\d+$", log.read_text(), re.MULTILINE)) is None:
            assert child.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        with httpx.Client(base_url=address.group(), timeout=20) as client:
            yield child, client
    finally:
        child.kill()
        child.wait()


DEAD = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}


def test_missing_credentials_end_it_with_one_line_and_exit_code_2():
    code, told = ended(AWS_ENDPOINT_URL=DEAD["AWS_ENDPOINT_URL"])
    assert code == 2
    assert told.count("\n") == 1
    assert "credentials for S3 at 127.0.0.1:9 are missing" in told


def test_a_taken_port_ends_it_with_one_line_and_exit_code_2():
    with listening("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        code, told = ended(**DEAD | {"INGOT_SERVING_PORT": port})
    assert code == 2
    assert told.count("\n") == 1
    assert f"address is 127.0.0.1:{port}, but must be free" in told


@pytest.mark.parametrize(("names", "variables"), [(["Digits"], {}), ([], {"INGOT_POLL_SECONDS": "soon"})])
def test_wrong_input_ends_it_with_one_line_and_exit_code_2(names, variables):
    code, told = ended(*names, **DEAD | variables)
    assert (code, told.count("\n")) == (2, 1)


def test_a_silent_store_leaves_it_live_but_not_ready_and_a_signal_ends_it_cleanly(tmp_path):
    with process(tmp_path, **DEAD) as (child, client):
        assert client.get("/v2/health/live").status_code == 200
        assert client.get("/v2/health/ready").status_code == 503
        child.send_signal(signal.SIGTERM)
        assert child.wait(15) == 0


def free_ports(count):
    """Ports that are free now, with the one 10,000 above, which SeaweedFS takes for gRPC."""
    found = []
    while len(found) < count:
        port = 20000 + secrets.randbelow(25000)
        try:
            for number in (port, port + 10000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
            found.append(port)
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """A SeaweedFS of our own, and the variables that name it."""
    folder = tmp_path_factory.mktemp("weed")
    folder.chmod(0o700)
    ports = dict(zip(("s3", "master", "volume", "filer", "admin"), free_ports(5), strict=True))
    keys = {"AWS_ACCESS_KEY_ID": secrets.token_hex(8), "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}
    flags = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-disableHttp", "-master.telemetry=false", "-webdav=false"]
    flags += ["-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"]
    flags += [f"-{name}.port={port}" for name, port in ports.items()]
    with (folder / "weed.log").open("wb") as log:
        command = [Path(sys.executable).parent / "weed", "mini", f"-dir={folder}", *flags]
        weed = subprocess.Popen(
            command, env=os.environ | keys | {"S3_BUCKET": "ingot"}, stdout=log, stderr=log, cwd=folder
        )
    variables = keys | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3']}", "AWS_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        for name in S3_VARIABLES:
            patch.delenv(name, raising=False)
        for name, value in variables.items():
            patch.setenv(name, value)
        try:
            wait_for_s3(weed, folder / "weed.log")
            yield variables
        finally:
            weed.kill()  # a clean end takes seconds, and nobody reads its data again
            weed.wait()


def wait_for_s3(weed, log):
    end = time.monotonic() + 60
    while True:
        try:
            return Store.from_environment("ingot", "health/").create(secrets.token_hex(4), b"up")
        except UnavailableError:
            assert weed.poll() is None and time.monotonic() < end, log.read_text()[-2000:]
            time.sleep(0.1)


def test_the_process_follows_the_champion_in_a_real_store_and_finishes_what_it_took(tiny, s3, tmp_path):
    store = Store.from_environment()
    tiny.publish(store, "mixed", "1", tiny.mixed())
    with process(tmp_path, "mixed", **s3) as (child, client):
        tiny.wait_until(lambda: client.get("/v2/health/ready").status_code == 200)
        assert client.post("/predict/mixed", json={"inputs": [ROW]}).json()["version"] == "1"
        assert client.get("/predict/text").status_code == 405
        tiny.publish(store, "mixed", "2", tiny.mixed(bias=-50.0))
        tiny.wait_until(lambda: client.get("/v2/models/mixed").json()["versions"] == ["2", "1"])
        answer = client.post("/predict/mixed", json={"inputs": [ROW]}).json()
        assert (answer["version"], answer["outputs"][0]["label"]) == ("2", "no")
        assert last_words(child, client).endswith(b"}")
        assert child.wait(15) == 0


def last_words(child, client):
    """What a request gets whose second half comes after the signal to end."""
    body = httpx.Request("POST", "/", json={"inputs": [ROW]}).content
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as plug:
        plug.sendall(b"POST /predict/mixed HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:9])
        time.sleep(0.2)
        child.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        plug.sendall(body[9:])
        answer = b""
        while chunk := plug.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 200 ")
    return answer


def test_without_names_the_process_serves_what_the_bucket_holds_and_finds_what_is_new(tiny, s3, tmp_path):
    bucket = f"ingot-{secrets.token_hex(4)}"
    with process(tmp_path, **s3, INGOT_BUCKET=bucket) as (_, client):
        tiny.wait_until(lambda: client.get("/v2/health/ready").status_code == 200)
        assert client.get("/v2/health/ready").json()["models"] == []
        tiny.publish(Store.from_environment(bucket), "text", "1", tiny.text())
        tiny.wait_until(lambda: client.post("/predict/text", json={"inputs": [{"text": "why"}]}).status_code == 200)
