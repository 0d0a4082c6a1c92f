"""The real process, alone and as several workers, on a bucket in a folder."""

import http.client
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.stores.s3 import Store
from tasks.stores.signing import Keyring

BODY = json.dumps({"inputs": [{"a": 1, "b": 2}]})


@pytest.fixture(scope="module")
def bucket(tiny, tmp_path_factory):
    address = f"file://{tmp_path_factory.mktemp('bucket')}"
    tiny.publish(Store.from_environment(address), "numbers", "1", tiny.numbers())
    return address


@contextmanager
def process(folder, bucket, workers):
    """The serving process and its port."""
    log = folder / f"serving-{secrets.token_hex(4)}.log"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "INGOT_"))}
    variables = {
        "INGOT_BUCKET": bucket,
        "INGOT_TRUSTED_KEYS": Keyring.from_environment().trusted_pem,
        "INGOT_SERVING_PORT": "0",
        "INGOT_SERVING_WORKERS": str(workers),
        "INGOT_SERVING_STATE": str(folder / "state"),
    }
    with log.open("wb") as out:
        command = [sys.executable, "-m", "deployments.serving", "numbers"]
        child = subprocess.Popen(command, env=kept | variables, stdout=out, stderr=out)
    try:
        end = time.monotonic() + 60
        while (found := re.search(r"http://127\.0\.0\.1:(\d+)$", log.read_text(), re.MULTILINE)) is None:
            assert child.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        port = int(found.group(1))
        while ask(port, "/v2/health/ready")[0] != 200:
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        yield child, port
    finally:
        child.kill()
        child.wait()


def ask(port, path, body=None):
    plug = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        plug.request("POST" if body else "GET", path, body)
        reply = plug.getresponse()
        return reply.status, reply.read()
    finally:
        plug.close()


def children_of(pid):
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Caller(threading.Thread):
    """Asks again and again over one connection that it keeps alive, until nobody listens any more."""

    def __init__(self, port):
        super().__init__()
        self.port, self.answered, self.lost, self.stop = port, 0, [], threading.Event()
        self.start()

    def run(self):
        plug, fresh = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20), True
        while not self.stop.is_set():
            try:
                plug.request("POST", "/predict/numbers", BODY)
                reply = plug.getresponse()
                content = reply.read()
            except OSError as error:  # http.client's "closed without response" is one too
                if not fresh:
                    self.lost.append(repr(error))
                return
            if reply.status != 200 or json.loads(content)["outputs"] != [{"value": 6.0}]:
                self.lost.append((reply.status, content))
            self.answered += 1
            fresh = reply.will_close


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_to_end_under_load_loses_no_request_that_was_taken(tmp_path, bucket, workers):
    with process(tmp_path, bucket, workers) as (child, port):
        callers = [Caller(port) for _ in range(8)]
        time.sleep(0.5)
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0
        for caller in callers:
            caller.join(30)
    assert [caller.lost for caller in callers] == [[]] * 8
    assert all(caller.answered > 10 for caller in callers)


def test_a_killed_worker_is_replaced_while_the_other_answers(tmp_path, bucket, tiny):
    with process(tmp_path, bucket, 2) as (parent, port):
        before = children_of(parent.pid)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        for _ in range(50):
            assert ask(port, "/predict/numbers", BODY)[0] == 200
        tiny.wait_until(lambda: len(set(children_of(parent.pid)) - set(before)) == 1)
        os.kill(before[1], signal.SIGKILL)  # now the new one must answer
        tiny.wait_until(lambda: before[1] not in children_of(parent.pid))
        assert ask(port, "/predict/numbers", BODY)[0] == 200
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(30) == 0


def test_the_figures_of_all_workers_are_on_one_page(tmp_path, bucket, tiny):
    with process(tmp_path, bucket, 2) as (_, port):
        for _ in range(30):
            ask(port, "/predict/numbers", BODY)

        def told():
            page = ask(port, "/metrics")[1].decode()
            found = re.search(r'ingot_requests_total\{endpoint="predict".*status="200".*\} (\S+)', page)
            return found is not None and float(found.group(1)) == 30

        tiny.wait_until(told)


def test_workers_end_when_their_parent_is_killed(tmp_path, bucket, tiny):
    with process(tmp_path, bucket, 2) as (parent, _):
        workers = children_of(parent.pid)
        parent.kill()
        parent.wait()
        tiny.wait_until(lambda: not any(alive(pid) for pid in workers))


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_wrong_input_ends_all_with_exit_code_2(tmp_path):
    variables = {"INGOT_SERVING_WORKERS": "2", "INGOT_SERVING_PORT": "0", "INGOT_SERVING_STATE": str(tmp_path)}
    variables |= {"INGOT_TRUSTED_KEYS": Keyring.from_environment().trusted_pem}
    dead = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "INGOT_"))}
    command = [sys.executable, "-m", "deployments.serving"]
    environment = kept | variables | dead | {"AWS_EC2_METADATA_DISABLED": "true"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "credentials for S3 at 127.0.0.1:9 are missing" in done.stderr
