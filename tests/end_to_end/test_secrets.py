"""Canaries are planted wherever a secret may come in; afterwards they are found nowhere but where they must be."""

import base64
import json
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import boto3
import httpx
import psutil
import pytest

from deployments.local.parts import HOLDERS
from deployments.local.state import read_state
from tasks.stores.pem import new_key
from tests.end_to_end.conftest import ROOT, Stack, new_stack

pytestmark = pytest.mark.end_to_end

SMALL = {
    "train": {"hidden_sizes": [8], "epochs": 2},
    "prune": {"ratios": []},
    "quantize": {"schemes": ["none"]},
    "evaluate": {"max_drop": 50.0},
}
DONE_SECONDS = 120
TRIES = 10


def canary() -> str:
    return f"canary{secrets.token_hex(12)}"


def shapes(value: str) -> set[bytes]:
    """A secret as it may be written: as it is, quoted, in hex, and in base64 at any of its three alignments."""
    raw = value.encode()
    found = {raw, quote(value, safe="").encode(), raw.hex().encode(), raw.hex().upper().encode()}
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + raw)
        # What the neighbours of the secret decide is cut off.
        found.add(coded[-(-before * 8 // 6) : len(coded) - 4])
    return found


class Site(BaseHTTPRequestHandler):
    """Rows behind a password and behind a token; whatever else is asked, as an MLflow would be, is refused."""

    def do_GET(self):
        known = f"?token={self.server.token}" in self.path or self.headers.get("Authorization") == self.server.pair
        open_ = known and not self.path.startswith("/never")
        body = (ROOT / "data/diabetes.csv").read_bytes() if open_ else b'{"error_code": "UNAUTHENTICATED"}'
        self.send_response(200 if open_ else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_GET

    def log_message(self, *args):
        """Tests stay quiet."""


@dataclass
class Told:
    """A stack with canaries in it, and all that anybody was told by it."""

    stack: Stack
    site: str
    canaries: dict[str, str]
    replies: list[str] = field(default_factory=list)

    def ingot(self, *arguments: str, code: int | None = 0, **environment: str) -> str:
        done = self.stack.ingot(*arguments, environment=environment)
        assert code is None or done.returncode == code, done.stderr
        self.replies.append(done.stdout + done.stderr)
        return done.stdout

    def prefect(self, path: str, body: dict | None = None) -> httpx.Response:
        pair = ("ann", self.canaries["PREFECT_API_AUTH_STRING"])
        url = f"{self.stack.addresses.prefect_api_url}/{path}"
        for _ in range(TRIES):  # a busy database answers 503, which Prefect's own client tries again
            answer = httpx.get(url, auth=pair) if body is None else httpx.post(url, json=body, auth=pair)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(1)
        self.replies.append(answer.text + str(answer.headers))
        return answer

    def started(self, deployment: str, config: dict) -> httpx.Response:
        """A run by the worker, as Prefect's UI starts it."""
        (found,) = self.prefect("deployments/filter", {"deployments": {"name": {"any_": [deployment]}}}).json()
        return self.prefect(f"deployments/{found['id']}/create_flow_run", {"parameters": {"config": config}})

    def ended(self, run: str) -> str:
        deadline = time.monotonic() + DONE_SECONDS
        while time.monotonic() < deadline:
            state = self.prefect(f"flow_runs/{run}").json()["state_type"]
            if state in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                return str(state)
            time.sleep(1)
        raise AssertionError(f"flow run {run} has not ended")


def config(model: str, source: str) -> dict:
    return {"model_name": model, "ingest": {"source": source, "task": "regression"}, **SMALL}


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("secrets")
    names = ("NETRC", "INGOT_SOURCE_ROWS", "PREFECT_API_AUTH_STRING", "PREFECT_API_KEY", "AWS_SESSION_TOKEN")
    found = {name: canary() for name in (*names, "MLFLOW_TRACKING_PASSWORD", "wrong S3 key", "typed")}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.token = found["INGOT_SOURCE_ROWS"]
    server.pair = "Basic " + base64.b64encode(f"ann:{found['NETRC']}".encode()).decode()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site, netrc, pem = f"http://127.0.0.1:{server.server_port}", folder / "netrc", new_key().decode()
    netrc.write_text(f"machine 127.0.0.1 login ann password {found['NETRC']}\n")
    netrc.chmod(0o600)
    pair = f"ann:{found['PREFECT_API_AUTH_STRING']}"
    variables = {
        "NETRC": str(netrc),
        "INGOT_SIGNING_KEY": pem,
        "INGOT_SOURCE_ROWS": f"{site}/rows.csv?token={found['INGOT_SOURCE_ROWS']}",
        "PREFECT_API_AUTH_STRING": pair,
        "PREFECT_SERVER_API_AUTH_STRING": pair,
        **{name: found[name] for name in ("PREFECT_API_KEY", "AWS_SESSION_TOKEN", "MLFLOW_TRACKING_PASSWORD")},
    }
    placed = new_stack(folder / "home")
    stack = Stack(placed.home, placed.ports, variables=variables)
    made = Told(stack, site, found | {"INGOT_SIGNING_KEY": pem.splitlines()[1]})
    try:
        made.ingot("up")
        made.canaries["S3 of the stack"] = json.loads(stack.settings.place.credentials.read_bytes())[
            "secret_access_key"
        ]
        yield made
    finally:
        stack.ingot("down")
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def lived(told) -> Told:
    """What may go well and what may go wrong has done so."""
    by_worker = told.started("diabetes", config("closed", f"{told.site}/rows.csv")).json()["id"]
    refused = told.started("digits", config("refused", f"{told.site}/never/rows.csv")).json()["id"]
    made = told.stack.ingot("keys", "add", "ann", "--json")
    assert made.returncode == 0, made.stderr  # the one reply that shows a key
    key = told.canaries["INGOT_API_KEY"] = json.loads(made.stdout.splitlines()[-1])["token"]
    recipe = told.stack.home.parent / "recipe.json"
    recipe.write_text(json.dumps(config("by-token", "env://INGOT_SOURCE_ROWS")))
    told.ingot("run", "--params", str(recipe), "--json", INGOT_API_KEY=key)
    assert (told.ended(by_worker), told.ended(refused)) == ("COMPLETED", "FAILED")
    typed = told.canaries["typed"]
    told.ingot("run", "digits", "--set", f"ingest.source=https://ann:{typed}@host/a.csv", code=2)
    told.ingot("run", "digits", "--set", f"ingest.source=https://host/a.csv?token={typed}", code=2)
    told.ingot("run", "digits", "--set", f"train.source=[https://ann:{typed}@host/a.onnx]", code=2)
    told.ingot("status", code=2, MLFLOW_TRACKING_URI=f"http://ann:{typed}@127.0.0.1:1")
    s3 = told.stack.addresses.s3_endpoint_url
    wrong = {
        "AWS_ACCESS_KEY_ID": "ann",
        "AWS_SECRET_ACCESS_KEY": told.canaries["wrong S3 key"],
        "AWS_SESSION_TOKEN": "",
    }
    told.ingot("models", code=2, AWS_ENDPOINT_URL=s3, **wrong)
    told.ingot("doctor", code=None, AWS_ENDPOINT_URL=s3, **wrong)
    told.ingot("run", "digits", code=2, MLFLOW_TRACKING_URI=told.site)
    for command in (
        ("status", "--json"),
        ("doctor",),
        ("models",),
        ("journal", "closed"),
        ("keys", "list"),
        ("usage",),
    ):
        told.ingot(*command, code=None)
    told.ingot("plan", "--params", str(recipe), code=None)
    for headers in ({}, {"X-Api-Key": f"{key}x"}, {"Authorization": f"Bearer {key}"}, {"X-Api-Key": key}):
        for path in ("v2/models/closed", f"v2/models/closed?token={key}", "metrics", "", "nowhere"):
            answer = httpx.get(f"{told.stack.addresses.serving_url}/{path}", headers=headers)
            told.replies.append(answer.text + str(answer.headers))
    return told


@pytest.mark.parametrize("before", ["", "a", "an", "ann:"])
def test_a_canary_is_found_however_it_is_written(before):
    value = canary()
    for written in (value.encode(), value.encode().hex().encode(), base64.b64encode(f"{before}{value}!".encode())):
        assert found_in(b"x" + written, {"it": value}) == ["it"]


def found_in(text: bytes | str, canaries: dict[str, str]) -> list[str]:
    content = text.encode() if isinstance(text, str) else text
    return [name for name, value in canaries.items() if any(shape in content for shape in shapes(value))]


def test_a_typed_password_is_refused_before_prefect_stores_it(told):
    typed = canary()
    for source in (f"https://ann:{typed}@host/a.csv", f"https://host/a.csv?sig={typed}"):
        url = f"{told.stack.addresses.prefect_api_url}/deployments/filter"
        pair = ("ann", told.canaries["PREFECT_API_AUTH_STRING"])
        (found,) = httpx.post(url, json={"deployments": {"name": {"any_": ["digits"]}}}, auth=pair).json()
        body = {"parameters": {"config": {"ingest": {"source": source}}}}
        made = httpx.post(url.replace("filter", f"{found['id']}/create_flow_run"), json=body, auth=pair)
        assert made.status_code == 409 and "ingest.source" in made.text
    told.canaries["typed into the form"] = typed


def test_no_reply_and_no_output_holds_a_canary(lived):
    assert [(text[:200], found) for text in lived.replies if (found := found_in(text, lived.canaries))] == []


def test_prefect_tells_no_canary(lived):
    kinds = ("flow_runs", "task_runs", "logs", "artifacts", "events", "variables", "deployments", "block_documents")
    answers = {kind: lived.prefect(f"{kind}/filter", {}) for kind in kinds}
    runs = answers["flow_runs"].json()
    answers |= {run["id"]: lived.prefect(f"flow_run_states/?flow_run_id={run['id']}") for run in runs}
    assert all(answer.is_success for answer in answers.values()) and len(runs) >= 3
    logs, page = [], [{}]
    while page:
        page = lived.prefect("logs/filter", {"offset": len(logs)}).json()
        logs += page
    assert any("answered 401" in log["message"] for log in logs)
    told = {kind: answer.text for kind, answer in answers.items()} | {"all logs": json.dumps(logs)}
    assert {kind: found for kind, text in told.items() if (found := found_in(text, lived.canaries))} == {}


def test_mlflow_tells_no_canary(lived):
    client = lived.stack.mlflow()
    experiments = [found.experiment_id for found in client.search_experiments()]
    runs = client.search_runs(experiments)
    versions = client.search_model_versions()
    assert {version.name for version in versions} >= {"closed", "by-token"} and runs
    told = json.dumps([run.to_dictionary() for run in runs]) + "".join(str(dict(version)) for version in versions)
    told += "".join(
        str(run.inputs.dataset_inputs[0].dataset.to_dictionary()) for run in runs if run.inputs.dataset_inputs
    )
    assert "env://INGOT_SOURCE_ROWS" in told
    assert found_in(told, lived.canaries) == []


def test_no_object_in_s3_holds_a_canary(lived):
    keys = json.loads(lived.stack.settings.place.credentials.read_bytes())
    client = boto3.client(
        "s3", endpoint_url=lived.stack.addresses.s3_endpoint_url, region_name="us-east-1",
        aws_access_key_id=keys["access_key_id"], aws_secret_access_key=keys["secret_access_key"],
    )  # fmt: skip
    listed = client.get_paginator("list_objects_v2").paginate(Bucket="ingot")
    names = [found["Key"] for page in listed for found in page.get("Contents", ())]
    assert len(names) > 20
    told = {name: client.get_object(Bucket="ingot", Key=name)["Body"].read() for name in names}
    assert {
        name: found for name, body in told.items() if (found := found_in(name.encode() + body, lived.canaries))
    } == {}


def test_each_process_holds_only_the_secrets_it_needs(lived):
    state = read_state(lived.stack.settings.place)
    for name, part in state.parts.items():
        leash = psutil.Process(part.process.pid)
        for process in (leash, *leash.children(recursive=True)):
            assert found_in(" ".join(process.cmdline()), lived.canaries) == []
            holds = {variable for variable, value in process.environ().items() if found_in(value, lived.canaries)}
            allowed = {variable for variable, parts in HOLDERS.items() if name in parts}
            assert holds <= allowed | ({"INGOT_SOURCE_ROWS"} if name == "worker" else set()), name


def test_no_file_of_the_stack_holds_a_canary(lived):
    """Runs last: it stops the stack, so that all is written."""
    home = lived.stack.settings.place
    assert lived.stack.ingot("down").returncode == 0
    # S3's own keys: our file that makes them known to every start, mode 0600, and the store's list of who may ask.
    must = {"S3 of the stack": (home.credentials, home.root / "s3")}
    leaks = []
    for path in (each for each in home.root.rglob("*") if each.is_file()):
        for name in found_in(path.name.encode() + path.read_bytes(), lived.canaries):
            if not any(path.is_relative_to(place) for place in must.get(name, ())):
                leaks.append((name, str(path.relative_to(home.root))))
    assert leaks == []
    assert home.credentials.stat().st_mode & 0o077 == 0
    assert Path(home.root).stat().st_mode & 0o077 == 0
