"""What people see of one run: in the Prefect UI, in MLflow, and where nobody looks at a terminal."""

import json
import re

import httpx
import pytest

pytestmark = pytest.mark.end_to_end

MODEL = "seen_by_all"
QUICK = ["--set", f"model_name={MODEL}", "--set", "train.epochs=3", "--set", "prune.ratios=[0.5]"]


@pytest.fixture(scope="module")
def told(stack):
    """What the command wrote where nobody looks on."""
    return stack.ingot("run", "digits", *QUICK, "--json", environment={"COLUMNS": "50"})


@pytest.fixture(scope="module")
def made(told) -> dict:
    """The run."""
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def artifacts(made, stack) -> dict[str, dict]:
    """The artifacts of the flow run, by key."""
    body = {"artifacts": {"flow_run_id": {"any_": [made["flow_run_id"]]}}}
    found = httpx.post(f"{stack.addresses.prefect_api_url}/artifacts/filter", json=body).json()
    return {artifact["key"]: artifact for artifact in found}


def test_a_pipe_gets_plain_lines(told):
    assert told.returncode == 0
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", told.stderr + told.stdout)
    assert re.search(r"^  done   explain +[\d.]+ s$", told.stderr, re.MULTILINE)


def test_a_run_is_called_by_its_model_and_its_time(made, stack):
    run = httpx.get(f"{stack.addresses.prefect_api_url}/flow_runs/{made['flow_run_id']}").json()
    assert re.fullmatch(MODEL + r"-\d{4}-\d\d-\d\d-\d{6}", run["name"])
    assert stack.mlflow().get_run(made["mlflow_run_id"]).info.run_name == run["name"]


def test_prefect_shows_candidates_plot_parity_inputs_card_progress_and_links(artifacts, made, stack):
    names = ("candidates", "pareto", "parity", "importance", "training", "card", "links")
    assert {f"seen-by-all-{name}" for name in names} <= set(artifacts)
    assert "](data:image/png;base64," in artifacts["seen-by-all-pareto"]["data"]
    assert artifacts["seen-by-all-card"]["data"].startswith(f"# {MODEL}: ")
    assert artifacts["seen-by-all-training"]["type"] == "progress" and artifacts["seen-by-all-training"]["data"] == 100
    links = artifacts["seen-by-all-links"]["data"]
    server = f"{stack.addresses.serving_url}/v2/models/{MODEL}"
    assert all(each in links for each in (made["manifest_uri"], made["mlflow_version_url"], server))
    assert server in artifacts["seen-by-all-server"]["data"]


def test_every_candidate_is_a_node_of_its_own_name(made, stack):
    body = {"flow_runs": {"id": {"any_": [made["flow_run_id"]]}}}
    nodes = httpx.post(f"{stack.addresses.prefect_api_url}/task_runs/filter", json=body).json()
    names = {node["name"] for node in nodes}
    assert {"quantize dense none", "quantize channels-50 static", "prune channels-50"} <= names


def test_mlflow_shows_card_inputs_and_costs_of_the_run(made, stack):
    client = stack.mlflow()
    run = client.get_run(made["mlflow_run_id"])
    version = client.get_model_version(MODEL, made["version"])
    assert run.data.tags["mlflow.note.content"] == version.description
    assert "## What drives the answers\n\nPermutation on " in version.description
    assert client.get_registered_model(MODEL).description.startswith("Predicts `label`, one of 10 classes")
    assert {"system/process_cpu_percentage", "system/process_memory_megabytes"} <= set(run.data.metrics)
    files = {file.path for folder in ("", "plots") for file in client.list_artifacts(run.info.run_id, folder)}
    assert {"importance.json", "plots/importance.png", "model_card.md"} <= files


def test_candidates_have_the_same_metrics_and_a_sentence(made, stack):
    client = stack.mlflow()
    experiment = client.get_run(made["mlflow_run_id"]).info.experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{made['mlflow_run_id']}'")
    measured = [run for run in found if "dropped" not in run.data.tags]
    keys = [frozenset(k for k in run.data.metrics if k.startswith("evaluate/")) for run in measured]
    assert len(measured) == len(made["candidates"]) and len(set(keys)) == 1
    assert all(run.data.tags["mlflow.note.content"] for run in measured)
