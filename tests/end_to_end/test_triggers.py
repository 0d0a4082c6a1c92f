"""What starts runs by itself, and who is told: on the real server, with the real worker."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from uuid import uuid4

import boto3
import pytest
import yaml

from deployments.local.health import ask_prefect
from tests.end_to_end.conftest import ROOT, command
from tests.end_to_end.test_stack import eventually

pytestmark = pytest.mark.end_to_end
SOURCE = "s3://incoming/rows.csv"
BLOCK = """
import sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock as Hook
Hook(name="hook", url=sys.argv[1], json_data={"subject": "{{subject}}", "body": "{{body}}"}).save("hook")
"""
CONFIG = {
    "model_name": "tiny",
    "ingest": {"source": SOURCE, "task": "regression"},
    "train": {"hidden_sizes": [8], "epochs": 2},
    "prune": {"ratios": []},
    "quantize": {"schemes": ["none"]},
}


@pytest.fixture(scope="module")
def heard():
    """An HTTP listener, and the bodies it was sent."""
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    bodies_at = f"http://127.0.0.1:{server.server_port}/", bodies
    yield bodies_at
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def tiny(stack, heard, tmp_path_factory):
    """A deployment with a cron schedule a minute or two away, its automations, and a webhook; the API's address."""
    put(stack, (ROOT / "data/diabetes.csv").read_bytes())
    soon = datetime.now(UTC) + timedelta(seconds=120)
    entry = {
        "name": "tiny",
        "entrypoint": "flows.retrain.retrain",
        "work_pool": {"name": "ingot"},
        "concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"},
        "schedules": [{"cron": f"{soon.minute} {soon.hour} * * *", "timezone": "UTC"}],
        "parameters": {"config": CONFIG},
    }
    file = tmp_path_factory.mktemp("tiny") / "prefect.yaml"
    pull = [{"deployments.local.root.enter_root": {}}]
    file.write_text(yaml.safe_dump({"pull": pull, "deployments": [entry]}))
    stack.python("-c", BLOCK, heard[0])
    subprocess.run(
        [command()[0].replace("/ingot", "/prefect"), "--no-prompt", "deploy", "--all", "--prefect-file", str(file)],
        cwd=ROOT, env=stack.base | stack.environment, capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    deploy(stack)
    return stack.addresses.prefect_api_url


@pytest.fixture(scope="module", autouse=True)
def died(stack, tiny):
    """A flow run whose process was killed once it had given a sign of life."""
    endless = [
        "run",
        "diabetes",
        "--set",
        "model_name=died",
        "--set",
        "train.epochs=1000000",
        "--set",
        "train.patience=0",
    ]
    process = subprocess.Popen(
        command(*endless), cwd=ROOT, env=stack.base, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wanted = {"flow_runs": {"name": {"like_": "died-"}, "state": {"type": {"any_": ["RUNNING"]}}}}
    assert eventually(lambda: ask_prefect("POST", f"{tiny}/flow_runs/filter", wanted), 60)
    (run,) = ask_prefect("POST", f"{tiny}/flow_runs/filter", wanted)
    beats = {
        "filter": {
            "event": {"name": ["prefect.flow-run.heartbeat"]},
            "resource": {"id": [f"prefect.flow-run.{run['id']}"]},
        }
    }
    assert eventually(lambda: ask_prefect("POST", f"{tiny}/events/filter", beats)["events"], 60)
    process.kill()
    process.wait()
    return run["id"]


def told(heard, subject):
    return [each["body"] for each in heard[1] if each["subject"] == subject]


def put(stack, content):
    keys = stack.environment
    s3 = boto3.client(
        "s3",
        endpoint_url=keys["AWS_ENDPOINT_URL"],
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        region_name=keys["AWS_REGION"],
    )
    if "incoming" not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket="incoming")
    s3.put_object(Bucket="incoming", Key="rows.csv", Body=content)


def deploy(stack):
    done = stack.ingot("deploy", environment={"INGOT_NOTIFY": "custom-webhook/hook", "INGOT_SILENT_SECONDS": "60"})
    assert done.returncode == 0, done.stderr


def runs(api, name, **states):
    wanted = {"deployments": {"name": {"any_": [name]}}, "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    found = ask_prefect("POST", f"{api}/flow_runs/filter", wanted | states)
    return sorted(found, key=lambda run: run["start_time"])


def start(api, name, **asked):
    (deployment,) = ask_prefect("POST", f"{api}/deployments/filter", {"deployments": {"name": {"any_": [name]}}})
    ask_prefect(
        "POST", f"{api}/deployments/{deployment['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}} | asked
    )


def watch(api):
    before = len(runs(api, "watch"))
    start(api, "watch")
    assert eventually(lambda: len(runs(api, "watch")) > before)


def rows_learned(stack):
    """How many rows each version was made from."""
    made = stack.mlflow().search_model_versions("name = 'tiny'")
    inputs = [stack.mlflow().get_run(each.run_id).inputs.dataset_inputs for each in made]
    return {json.loads(data.dataset.profile)["num_rows"] for (data,) in inputs}


def automations(api):
    found = ask_prefect("POST", f"{api}/automations/filter", {})
    return {entry["name"]: (entry["id"], entry["updated"]) for entry in found}


def test_new_data_in_s3_start_a_run_that_learns_from_them(stack, tiny):
    watch(tiny)
    content = (ROOT / "data/diabetes.csv").read_text().splitlines(keepends=True)
    put(stack, "".join(content[:-20]).encode())
    watch(tiny)
    assert eventually(lambda: len(content) - 1 - 20 in rows_learned(stack), 90)


def test_two_deploys_at_once_leave_the_same_automations_and_the_users_own(stack, tiny):
    (known,) = (e for e in ask_prefect("POST", f"{tiny}/automations/filter", {}) if e["name"] == "ingot-zombies")
    own = {key: known[key] for key in ("trigger", "actions")} | {"name": "ingot-of-mine", "enabled": False}
    ask_prefect("POST", f"{tiny}/automations/", own)
    ask_prefect("POST", f"{tiny}/automations/", own | {"name": "page-me", "tags": ["ingot"]})
    before = automations(tiny)
    expected = {"ingot-zombies", "ingot-drift-tiny", "ingot-new-data-tiny", "ingot-notify-failed-custom-webhook/hook"}
    assert set(before) >= expected
    ask_prefect("DELETE", f"{tiny}/automations/{before['ingot-drift-tiny'][0]}")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: deploy(stack), range(2)))
    after = automations(tiny)
    assert len(ask_prefect("POST", f"{tiny}/automations/filter", {})) == len(after)
    assert set(after) == set(before)
    assert stack.ingot("deploy", environment={"INGOT_SILENT_SECONDS": "60"}).returncode == 0
    assert automations(tiny) == after, "notifications stay while nobody says who is to be told"
    del before["ingot-drift-tiny"], after["ingot-drift-tiny"]
    assert after == before


def test_a_cron_run_completes(tiny):
    assert eventually(lambda: [run for run in runs(tiny, "tiny") if run["auto_scheduled"]], 150)


def test_a_promotion_is_told_with_the_reason(tiny, heard):
    assert eventually(lambda: told(heard, "tiny: promoted"))
    body = told(heard, "tiny: promoted")[0]
    assert body.startswith("tiny promoted: ") and "no reason given" not in body
    assert "/runs/flow-run/" in body and len(body.splitlines()) == 1


def test_a_run_that_fails_is_told_with_what_is_wrong(stack, tiny, heard):
    missing = CONFIG | {"ingest": {"source": "s3://incoming/none.csv", "task": "regression"}}
    start(tiny, "tiny", parameters={"config": missing})
    assert eventually(lambda: told(heard, "tiny: failed"), 90)
    assert "s3://incoming/none.csv" in told(heard, "tiny: failed")[0]


def test_a_rejection_is_told_with_what_was_missed(tiny, heard):
    start(tiny, "tiny", parameters={"config": CONFIG | {"evaluate": {"min_metric": 0.001}}})
    assert eventually(lambda: told(heard, "tiny: rejected"), 90)
    (body,) = told(heard, "tiny: rejected")
    assert body.startswith("tiny rejected: test rmse is ") and len(body.splitlines()) == 1


def test_drift_is_told_and_starts_runs_that_come_one_after_the_other(tiny, heard):
    before = len(runs(tiny, "tiny"))
    resource = {"prefect.resource.id": "ingot.model.tiny"}
    payload = {"model": "tiny", "reason": "bmi moved"}
    event = {"event": "ingot.drift.detected", "resource": resource, "payload": payload}
    start(tiny, "tiny")
    ask_prefect("POST", f"{tiny}/events", [event | {"occurred": datetime.now(UTC).isoformat(), "id": str(uuid4())}])
    assert eventually(lambda: told(heard, "tiny: drifted") == ["tiny drifted: bmi moved"])
    assert eventually(lambda: len(runs(tiny, "tiny")) == before + 2, 120)
    first, second = runs(tiny, "tiny")[-2:]
    assert first["end_time"] <= second["start_time"]


def test_a_run_whose_process_died_without_a_word_is_closed(tiny, died):
    """Last, since a run must be silent for a while."""
    assert eventually(lambda: ask_prefect("GET", f"{tiny}/flow_runs/{died}")["state_type"] == "CRASHED", 150)
    assert "No heartbeat" in ask_prefect("GET", f"{tiny}/flow_runs/{died}")["state"]["message"]
