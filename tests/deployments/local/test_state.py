import subprocess
import sys
import time

import pytest

from deployments.local.home import Home
from deployments.local.state import Addresses, PartState, ProcessId, StackState, read_state, write_state

ADDRESSES = Addresses(
    prefect_api_url="http://127.0.0.1:4200/api",
    mlflow_tracking_uri="http://127.0.0.1:5000",
    s3_endpoint_url="http://127.0.0.1:8333",
    bucket="ingot",
    serving_url="http://127.0.0.1:8080",
)


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path)
    made.prepare()
    return made


@pytest.fixture
def sleeper():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def stack(process: ProcessId) -> StackState:
    part = PartState(state="running", address=ADDRESSES.s3_endpoint_url, process=process, since=time.time())
    return StackState(supervisor=process, root="/", addresses=ADDRESSES, parts={"s3": part})


def test_a_process_is_found_while_it_lives(sleeper):
    identity = ProcessId.of(sleeper.pid)
    assert identity.find().pid == sleeper.pid
    sleeper.kill()
    sleeper.wait()
    assert identity.find() is None


def test_a_zombie_is_not_alive(sleeper):
    identity = ProcessId.of(sleeper.pid)
    sleeper.kill()
    deadline = time.monotonic() + 10
    while identity.find() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert identity.find() is None
    assert sleeper.returncode is None


def test_a_pid_that_came_round_again_is_not_ours(sleeper):
    identity = ProcessId.of(sleeper.pid)
    assert identity.model_copy(update={"started": identity.started - 3600}).find() is None


def test_what_was_written_is_read(home, sleeper):
    state = stack(ProcessId.of(sleeper.pid))
    write_state(home, state)
    assert read_state(home) == state
    assert read_state(home).alive


@pytest.mark.parametrize("content", ["", "{", '{"supervisor": {}}', '{"of": "another version"}'])
def test_a_cut_or_foreign_file_is_as_good_as_none(home, content):
    assert read_state(home) is None
    home.state.write_text(content)
    assert read_state(home) is None


def test_the_ui_stands_where_the_api_does():
    assert ADDRESSES.prefect_ui_url == "http://127.0.0.1:4200"
