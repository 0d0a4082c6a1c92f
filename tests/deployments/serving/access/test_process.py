"""The real serving process on a store in a folder: started, killed, and ended in order."""

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest

from deployments.serving.access.usage import DATABASE, read_usage
from deployments.serving.access.verification import verify
from tasks.stores.access import Keys
from tasks.stores.s3 import Store
from tasks.stores.signing import Keyring

BODY = {"inputs": [{"a": 1, "b": 2}]}


@pytest.fixture
def bucket(tmp_path, tiny):
    """A store in a folder with one model, and the variables that name it."""
    uri = f"file://{tmp_path}/bucket"
    store = Store.from_environment(uri)
    tiny.publish(store, "numbers", "1", tiny.numbers())
    return uri, store


def environment(uri, folder, **variables):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "INGOT_"))}
    ours = {"INGOT_BUCKET": uri, "INGOT_SERVING_PORT": "0", "INGOT_POLL_SECONDS": "0.05"}
    ours["INGOT_TRUSTED_KEYS"] = Keyring.from_environment().trusted_pem
    return kept | ours | {"INGOT_SERVING_STATE": str(folder / "state")} | variables


@contextmanager
def process(uri, folder, **variables):
    log = folder / f"serving-{secrets.token_hex(4)}.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "deployments.serving"]
        child = subprocess.Popen(command, env=environment(uri, folder, **variables), stderr=out, stdout=out)
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


def test_without_a_key_it_does_not_listen_beyond_loopback_and_says_so_in_one_line(bucket, tmp_path):
    variables = environment(bucket[0], tmp_path, INGOT_SERVING_HOST="0.0.0.0")
    command = [sys.executable, "-m", "deployments.serving"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("ingot serving: there is no API key, but must be one to listen on")
    assert "Traceback" not in done.stderr


def test_two_servers_share_rates_a_kill_costs_a_second_at_most_and_an_end_nothing(bucket, tmp_path, tiny):
    uri, store = bucket
    _, token = Keys(store).add("web", daily=30)
    with process(uri, tmp_path) as (one, first), process(uri, tmp_path) as (_, other):
        for client in (first, other):
            client.headers["x-api-key"] = token
            tiny.wait_until(lambda: client.get("/v2/health/ready").json().get("models"))  # noqa: B023
        statuses = [client.post("/predict/numbers", json=BODY).status_code for client in (first, other) * 25]
        assert (statuses.count(200), statuses.count(429)) == (30, 20)
        one.send_signal(signal.SIGTERM)
        assert one.wait(15) == 0
        tiny.wait_until(lambda: sum(row.requests for row in read_usage(tmp_path / "state" / DATABASE)) == 50)
    reports = verify(tmp_path / "state" / "audit")
    assert [report.slot for report in reports] == ["0", "1"]
    with process(uri, tmp_path) as (child, client):
        assert client.post("/predict/numbers", json=BODY, headers={"x-api-key": token}).status_code == 429
        child.send_signal(signal.SIGTERM)
        assert child.wait(15) == 0
    assert verify(tmp_path / "state" / "audit")[0].files == 2
