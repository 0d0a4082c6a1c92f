"""The embedded stack as a user meets it: real servers, real crashes."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import psutil
import pytest

from deployments.local.credentials import load_or_create
from deployments.local.health import ask_prefect
from deployments.local.home import Home
from deployments.local.processes import runs
from deployments.local.registration import deployment_names
from deployments.local.stack import held_processes
from tests.end_to_end.conftest import ROOT, Stack, command, new_stack

pytestmark = pytest.mark.end_to_end
NAMES = ["s3", "prefect", "mlflow", "worker", "serving"]
S3 = """
import sys
from tasks.stores.s3 import Store
store = Store.from_environment()
print(store.create(sys.argv[2], b"kept") if sys.argv[1] == "write" else store.read(sys.argv[2]).content)
"""
MLFLOW = """
import sys
from mlflow import MlflowClient
client = MlflowClient()
if sys.argv[1] == "write":
    print(client.create_experiment(sys.argv[2]))
else:
    print(client.get_experiment_by_name(sys.argv[2]).name)
"""


def python(stack: Stack, code: str, *arguments: str) -> str:
    """What a program of the user's own prints, which knows the stack by the environment alone."""
    environment = os.environ | stack.environment
    interpreter = command()[0].replace("/ingot", "/python")
    done = subprocess.run(
        [interpreter, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def eventually(holds: Callable[[], object], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.1)
    return bool(holds())


def started_at(stack: Stack) -> dict[str, int]:
    return {part["name"]: part["pid"] for part in stack.status()["parts"]}


def test_status_tells_of_every_part_and_ends_with_0_only_if_all_are_healthy(stack):
    done = stack.ingot("status")
    assert done.returncode == 0
    assert done.stdout.count("healthy") == 5
    found = stack.status()
    assert found["healthy"] and found["running"]
    assert [part["name"] for part in found["parts"]] == NAMES
    for part in found["parts"]:
        assert part["healthy"] and part["state"] == "running" and part["restarts"] == 0
        assert part["memory_bytes"] > 20 * 2**20
        assert part["log"] == []


def test_a_second_up_reuses_what_runs_and_prints_the_addresses(stack):
    before = started_at(stack)
    done = stack.ingot("up")
    assert done.returncode == 0
    assert started_at(stack) == before
    for address in (stack.addresses.prefect_ui_url, stack.addresses.mlflow_tracking_uri, stack.addresses.serving_url):
        assert address in done.stdout


def test_a_taken_port_is_named_with_its_holder(stack, own_stack):
    taken = stack.ports["INGOT_MLFLOW_PORT"]
    done = own_stack.ingot("up", environment={"INGOT_MLFLOW_PORT": taken})
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: INGOT_MLFLOW_PORT is {taken}, but must be free: pid ")
    assert "mlflow" in done.stderr and "to another port" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not held_processes(Home(own_stack.home))


def test_another_port_for_a_stack_that_runs_is_refused(stack):
    done = stack.ingot("up", environment={"INGOT_SERVING_PORT": "10999"})
    assert done.returncode == 2
    assert "the stack runs with serving_url" in done.stderr and "run `ingot down` first" in done.stderr


def test_every_socket_listens_on_this_machine_alone(stack):
    listening = [
        connection.laddr
        for process in held_processes(Home(stack.home))
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 13
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_nobody_without_a_key_reads_from_s3_and_no_key_is_in_a_log(stack):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{stack.addresses.s3_endpoint_url}/ingot", timeout=10)
    assert caught.value.code == 403
    secret = load_or_create(Home(stack.home)).secret_access_key
    for log in (stack.home / "logs").iterdir():
        assert secret not in log.read_text()
    assert stack.home.stat().st_mode & 0o777 == 0o700
    assert (stack.home / "credentials.json").stat().st_mode & 0o777 == 0o600


def test_a_page_of_another_origin_may_not_call_the_prefect_server(stack):
    url = f"{stack.addresses.prefect_api_url}/health"
    for origin, allowed in (("http://evil.example", None), (stack.addresses.prefect_ui_url,) * 2):
        request = urllib.request.Request(url, headers={"Origin": origin})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == allowed


def test_the_ui_calls_the_server_it_came_from(stack):
    with urllib.request.urlopen(f"{stack.addresses.prefect_ui_url}/ui-settings", timeout=10) as answer:
        assert b'"api_url":"/api"' in answer.read().replace(b" ", b"")


def test_every_deployment_is_registered_with_its_schedule_and_a_cron_run_appears(stack):
    api = stack.addresses.prefect_api_url
    found = {deployment["name"]: deployment for deployment in ask_prefect("POST", f"{api}/deployments/filter", {})}
    assert set(found) >= {"digits", "diabetes", "messages"}
    for name in ("digits", "diabetes", "messages"):
        deployment = found[name]
        assert deployment["schedules"][0]["active"] and deployment["schedules"][0]["schedule"]["cron"]
        assert deployment["pull_steps"] == [{"deployments.local.root.enter_root": {}}]
        assert deployment["path"] is None
        assert deployment["work_pool_name"] == "ingot"
        assert deployment["global_concurrency_limit"]["limit"] == 1
        assert deployment["parameters"]["config"]["model_name"] == name
    wanted = {"deployments": {"name": {"any_": ["digits"]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    assert eventually(lambda: ask_prefect("POST", f"{api}/flow_runs/filter", wanted))
    run = ask_prefect("POST", f"{api}/flow_runs/filter", wanted)[0]
    assert run["auto_scheduled"]
    assert datetime.fromisoformat(run["expected_start_time"]) > datetime.now(UTC)


def test_the_deployments_are_registered_by_prefects_own_command_too(stack):
    prefect = command()[0].replace("/ingot", "/prefect")
    done = subprocess.run(
        [prefect, "--no-prompt", "deploy", "--all", "--prefect-file", "deployments/prefect.yaml"],
        cwd=ROOT, env=os.environ | stack.environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    again = stack.ingot("deploy")
    assert again.returncode == 0, again.stderr
    assert "registered digits, diabetes, messages" in again.stdout


def test_a_second_server_beside_the_stacks_own_needs_a_port_of_its_own(stack):
    done = stack.ingot("serve", "digits")
    assert done.returncode == 2
    assert f"serves every champion at {stack.addresses.serving_url} already; give --port" in done.stderr
    port = int(stack.ports["INGOT_S3_PORT"]) - 1
    with subprocess.Popen(
        command("serve", "--port", str(port)), cwd=ROOT, env=stack.base, stderr=subprocess.DEVNULL
    ) as own:
        try:
            assert eventually(lambda: not problem_at(port))
        finally:
            own.terminate()
        assert own.wait(timeout=30) == 0


def problem_at(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/live", timeout=2):
            return False
    except OSError:
        return True


def test_doctor_finds_nothing_to_mend_while_the_stack_runs(stack):
    done = stack.ingot("doctor")
    assert done.returncode == 0, done.stdout
    assert "fail" not in done.stdout
    assert "commits safely" in done.stdout


def test_a_part_that_dies_at_start_fails_up_with_the_end_of_its_log(stack, own_stack):
    done = own_stack.ingot("up", environment=stack.environment | own_stack.ports | {"INGOT_MAX_BODY_BYTES": "much"})
    assert done.returncode == 1
    assert done.stderr.startswith("error: serving ended with code 2 after ")
    assert "INGOT_MAX_BODY_BYTES is 'much', but must be a whole number" in done.stderr
    assert not held_processes(Home(own_stack.home))


def test_servers_of_the_users_own_are_used_as_they_are(stack, own_stack):
    environment = stack.environment | own_stack.ports
    try:
        assert own_stack.ingot("up", environment=environment).returncode == 0
        done = own_stack.ingot("status", environment=environment)
        assert done.returncode == 0, done.stdout
        assert done.stdout.count("yours") == 3
        names = {process.name() for process in held_processes(Home(own_stack.home))}
        assert "weed" not in names
    finally:
        own_stack.ingot("down", environment=environment)


@pytest.fixture(scope="module")
def crash_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack to crash; its tests start it themselves."""
    own = new_stack(tmp_path_factory.mktemp("crash") / "home")
    yield own
    own.ingot("down")


def test_two_ups_at_once_start_one_stack_that_survives_crashes_and_loses_nothing(crash_stack):
    home = Home(crash_stack.home)
    both = [
        subprocess.Popen(command("up"), cwd=ROOT, env=crash_stack.base, stdout=subprocess.DEVNULL) for _ in range(2)
    ]
    assert [up.wait(timeout=300) for up in both] == [0, 0]
    supervisors = [p for p in psutil.process_iter() if is_supervisor_of(p, home)]
    assert len(supervisors) == 1

    assert python(crash_stack, S3, "write", "models/x") == "True"
    python(crash_stack, MLFLOW, "write", "experiment")

    before = held_processes(home)
    supervisors[0].send_signal(signal.SIGKILL)
    assert eventually(lambda: not held_processes(home), seconds=30)
    assert not any(runs(process) for process in before)
    assert crash_stack.ingot("status").returncode == 1

    assert crash_stack.ingot("up").returncode == 0
    assert python(crash_stack, S3, "read", "models/x") == "b'kept'"
    assert python(crash_stack, MLFLOW, "read", "experiment") == "experiment"

    serving = psutil.Process(started_at(crash_stack)["serving"])
    serving.children()[0].kill()
    assert eventually(lambda: part(crash_stack, "serving")["restarts"] == 1 and part(crash_stack, "serving")["healthy"])
    assert part(crash_stack, "serving")["last_exit"].startswith("was killed by Killed")
    assert part(crash_stack, "serving")["log"]

    done = crash_stack.ingot("down")
    assert done.returncode == 0 and "nothing was lost" in done.stdout
    assert not held_processes(home)

    assert crash_stack.ingot("up").returncode == 0
    assert python(crash_stack, S3, "read", "models/x") == "b'kept'"
    assert python(crash_stack, MLFLOW, "read", "experiment") == "experiment"
    known = ask_prefect("POST", f"{crash_stack.addresses.prefect_api_url}/deployments/filter", {})
    assert {deployment["name"] for deployment in known} == set(deployment_names())


def part(stack: Stack, name: str) -> dict[str, object]:
    return next(part for part in stack.status()["parts"] if part["name"] == name)


def is_supervisor_of(process: psutil.Process, home: Home) -> bool:
    try:
        return "deployments.local.supervisor" in process.cmdline() and process.environ()["INGOT_HOME"] == str(home.root)
    except psutil.Error:
        return False


def test_a_run_that_died_with_its_worker_is_closed_and_the_next_one_runs(crash_stack):
    crash_stack.ingot("up")
    api = crash_stack.addresses.prefect_api_url
    deployment = ask_prefect("GET", f"{api}/deployments/name/retrain/digits")["id"]

    def start(**train: object) -> str:
        quick = {"prune": {"ratios": []}, "quantize": {"schemes": ["none"]}, "train": train}
        body = {"parameters": {"config": quick}, "state": {"type": "SCHEDULED"}}
        return str(ask_prefect("POST", f"{api}/deployments/{deployment}/create_flow_run", body)["id"])

    def state(run: str) -> str:
        return str(ask_prefect("GET", f"{api}/flow_runs/{run}")["state_type"])

    long = start(epochs=100_000)
    assert eventually(lambda: state(long) == "RUNNING")
    worker = psutil.Process(started_at(crash_stack)["worker"])
    family = worker.children(recursive=True)
    assert any("prefect.engine" in process.cmdline() for process in family)
    worker.kill()
    assert eventually(lambda: state(long) == "CRASHED")
    assert not any(map(runs, family))
    short = start(epochs=1)
    assert eventually(lambda: state(short) == "COMPLETED", seconds=120)
