"""The whole chain on the real stack: what a user, a reviewer and an application developer see."""

import io
import json
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.end_to_end

QUICK = ["--set", "train.epochs=12", "--set", "prune.finetune_epochs=3"]
JSON_KEYS = {
    "model", "version", "seq", "status", "champion", "manifest_uri", "manifest_sha256", "flow_run_id", "flow_run_url",
    "mlflow_run_id", "mlflow_version_url", "winner", "candidates", "seconds", "reason",
}  # fmt: skip
CANDIDATE_KEYS = {"name", "metric", "size_bytes", "compressed_bytes", "p50_ms", "p95_ms", "parity", "within_budget"}


@pytest.fixture(scope="module")
def first(stack) -> dict:
    """The first run of digits."""
    return stack.run("digits", *QUICK)


@pytest.fixture(scope="module")
def version(first, stack):
    """Its version in MLflow."""
    return stack.mlflow().get_model_version("digits", first["version"])


def test_the_first_run_publishes_a_champion(first):
    assert set(first) == JSON_KEYS
    assert first["status"] == "published" and first["champion"] and first["version"] == "1" and first["seq"] == 1
    assert len(first["candidates"]) == 9
    assert all(set(candidate) == CANDIDATE_KEYS for candidate in first["candidates"])
    assert set(first["seconds"]) >= {"ingest", "train", "evaluate", "publish", "promote"}


def test_an_unchanged_recipe_does_no_work_and_makes_no_version(first, stack):
    again = stack.run("digits", *QUICK)
    assert again["status"] == "unchanged"
    assert {again[key] == first[key] for key in ("version", "seq", "manifest_sha256", "winner")} == {True}
    assert "train" not in again["seconds"]
    assert len(stack.mlflow().search_model_versions("name='digits'")) == 1


def test_what_would_run_is_told_before_it_runs_and_what_it_took_afterwards(first, stack):
    unchanged = json.loads(stack.ingot("plan", "digits", *QUICK, "--json").stdout)
    assert unchanged["version"] == first["version"] and unchanged["seconds"] == 0
    changed = json.loads(stack.ingot("plan", "digits", *QUICK, "--set", "train.l2=0.5", "--json").stdout)
    (runs,) = [step for step in changed["steps"] if step["state"] == "runs"]
    assert runs["name"] == "train" and runs["changed"] == ["config.l2: 0.0 -> 0.5"]
    ledger = json.loads(stack.ingot("ledger", "digits", first["version"], "--json").stdout)
    steps = {row["name"]: row["cost"] for row in ledger["rows"]}
    assert {"ingest", "train", "export dense", "evaluate"} <= set(steps)
    assert steps["train"]["cpu_seconds"] > 0 and steps["train"]["sent_bytes"] > 1000
    assert changed["seconds"] == pytest.approx(
        sum(s["cost"]["seconds"] for s in changed["steps"] if s != changed["steps"][0])
    )
    assert "known" in stack.ingot("ledger", "digits", "77").stderr


def test_a_run_that_repeats_nothing_reads_like_the_one_that_did(first, stack):
    """Another budget: all steps up to evaluation are known, and MLflow shows the curves all the same."""
    other = stack.run("digits", *QUICK, "--set", "evaluate.max_drop=1.5")
    assert other["status"] == "published" and other["manifest_sha256"] != first["manifest_sha256"]
    mlflow = stack.mlflow()
    for name in ("train/loss", "channels-50/loss"):
        curves = [
            [(point.step, point.value) for point in mlflow.get_metric_history(run["mlflow_run_id"], name)]
            for run in (first, other)
        ]
        assert curves[0] == curves[1] and curves[0]
    tags = mlflow.get_run(other["mlflow_run_id"]).data.tags
    assert tags["cached.train"] == first["mlflow_run_id"]


def test_the_same_data_from_s3_are_the_same_data(first, stack):
    stack.journal("digits").store.create("incoming/rows.parquet", Path("data/digits.parquet").read_bytes())
    source = f"ingest.source=s3://{stack.addresses.bucket}/incoming/rows.parquet"
    assert stack.run("digits", *QUICK, "--set", source)["status"] == "unchanged"


def test_another_seed_makes_another_version_but_no_champion_by_luck(first, stack):
    other = stack.run("digits", *QUICK, "--set", "seed=1", "--set", "promote.margin=5")
    assert other["status"] == "published" and not other["champion"]
    aliases = stack.mlflow().get_registered_model("digits").aliases
    assert aliases == {"champion": first["version"], "challenger": other["version"]}
    assert "not surely better" in other["reason"]


def test_the_same_recipe_gives_the_same_file_under_another_name(first, stack):
    again = {"INGOT_RECALL": "0"}
    twin = stack.run("digits", *QUICK, "--set", "model_name=digits-twin", environment=again)
    assert twin["seconds"]["train"] > 0.5
    graphs = [
        stack.journal(run["model"]).get_manifest(run["manifest_sha256"]).files[0].artifact.sha256
        for run in (first, twin)
    ]
    assert graphs[0] == graphs[1]


def test_a_winner_that_fails_its_gate_is_rejected_and_leaves_no_version(stack):
    rejected = stack.run("digits", *QUICK, "--set", "model_name=gated", "--set", "evaluate.min_metric=0.9999", code=1)
    assert rejected["status"] == "rejected" and rejected["version"] == ""
    assert rejected["reason"].startswith("test accuracy is 0.")
    assert not list(stack.journal("gated").store.keys("models/gated/"))


def test_a_budget_that_nobody_keeps_falls_back_to_fp32_and_says_why(stack):
    run = stack.run("digits", *QUICK, "--set", "model_name=tight", "--set", "evaluate.max_size_bytes=100")
    assert run["winner"] == "dense/none"
    assert not any(candidate["within_budget"] for candidate in run["candidates"])
    card = stack.mlflow().get_model_version("tight", run["version"]).description
    assert "max_size_bytes is 100, but it has" in card


def test_mlflow_holds_one_parent_with_a_nested_run_for_each_candidate(first, stack):
    client = stack.mlflow()
    parent = client.get_run(first["mlflow_run_id"])
    query = f"tags.`mlflow.parentRunId` = '{first['mlflow_run_id']}'"
    children = client.search_runs([parent.info.experiment_id], query)
    dropped = {child.info.run_name for child in children if "dropped" in child.data.tags}
    measured = {child.info.run_name for child in children} - dropped
    assert measured == {candidate["name"] for candidate in first["candidates"]}
    assert all(child.data.tags["reason"] for child in children if child.info.run_name in dropped)
    assert all(child.info.status == "FINISHED" for child in [parent, *children])
    assert parent.data.params["train.epochs"] == "12" and parent.data.params["seed"] == "0"
    assert {"data.digest", "code.digest", "git.sha", "prefect.flow_run_id"} <= set(parent.data.tags)
    assert {"train/loss", "evaluate/accuracy", "evaluate/p95_ms", "parity/label_agreement"} <= set(parent.data.metrics)
    assert len(client.get_metric_history(first["mlflow_run_id"], "train/loss")) == 12
    assert parent.inputs.dataset_inputs[0].dataset.digest == parent.data.tags["data.digest"][:36]
    artifacts = {
        file.path for folder in ("", "plots") for file in client.list_artifacts(first["mlflow_run_id"], folder)
    }
    assert {
        "model_card.md",
        "pareto.json",
        "plots/pareto.png",
        "plots/confusion.png",
        "plots/learning_curve.png",
    } <= artifacts


def test_the_registered_version_carries_card_tags_and_alias(first, version):
    assert version.description.startswith("# digits: ")
    assert version.aliases == ["champion"]
    assert version.tags["manifest.sha256"] == first["manifest_sha256"] and version.tags["gate"] == "passed"
    assert {"manifest.uri", "candidate", "size_bytes", "p95_ms", "accuracy", "run_key"} <= set(version.tags)


def test_a_users_own_program_loads_the_champion_from_mlflow(first, stack):
    program = """
import mlflow, numpy as np, onnxruntime
model = mlflow.onnx.load_model("models:/digits@champion")
session = onnxruntime.InferenceSession(model.SerializeToString())
print(session.run(["label"], {"features": np.zeros((2, 64), np.float32)})[0].shape)
answers = mlflow.pyfunc.load_model("models:/digits@champion").predict(np.zeros((3, 64), np.float32))
print(len(answers["label"]))
"""
    assert stack.python("-c", program).stdout.split() == ["(2,)", "3"]


def test_the_journal_in_s3_tells_what_happened(first, stack):
    entries = stack.journal("digits").entries()
    assert [(entry.seq, entry.action) for entry in entries[:2]] == [(1, "publish"), (2, "promote")]
    assert entries[0].manifest == entries[1].manifest == first["manifest_sha256"]


def test_the_graph_alone_answers_like_the_server(first, stack, tmp_path):
    graph = stack.graph(first, tmp_path)
    pixels = pd.read_parquet("data/digits.parquet").drop(columns="label").head(20)
    program = """
import sys, numpy as np, onnxruntime
pixels = np.load(sys.argv[2])
label, probabilities = onnxruntime.InferenceSession(sys.argv[1]).run(["label", "probabilities"], {"features": pixels})
np.savez(sys.stdout.buffer, label=label, probabilities=probabilities)
"""
    rows = graph.parent / "rows.npy"
    np.save(rows, pixels.to_numpy(np.float32))
    done = subprocess.run([sys.executable, "-c", program, graph, rows], capture_output=True, check=True)
    alone = np.load(io.BytesIO(done.stdout))
    reply = httpx.post(f"{stack.addresses.serving_url}/predict/digits", json={"inputs": pixels.to_dict("records")})
    served = reply.json()["outputs"]
    assert [row["label"] for row in served] == alone["label"].tolist()
    for row, probabilities in zip(served, alone["probabilities"], strict=True):
        assert list(row["probabilities"].values()) == pytest.approx(probabilities.tolist(), abs=1e-6)
    tensor = {"name": "features", "datatype": "FP32", "shape": [20, 64], "data": pixels.to_numpy().tolist()}
    infer = httpx.post(f"{stack.addresses.serving_url}/v2/models/digits/infer", json={"inputs": [tensor]}).json()
    assert {output["name"]: output["data"] for output in infer["outputs"]}["label"] == alone["label"].tolist()


def test_the_printed_curl_returns_the_right_digit(first, stack):
    done = stack.ingot("run", "digits", *QUICK, "--set", "model_name=pasted")
    words, line = done.stdout.split("try it (must answer ")[1].split("):\n")
    reply = subprocess.run(line.strip(), shell=True, check=True, capture_output=True, text=True, cwd=stack.root)
    (row,) = json.loads(reply.stdout)["outputs"]
    assert words == f"label {row['label']}"


def test_serving_follows_the_champion_without_a_restart(first, stack):
    moved = stack.run("digits", *QUICK, "--set", "seed=2", "--set", "promote.policy=always")
    assert moved["champion"]
    assert httpx.get(f"{stack.addresses.serving_url}/v2/models/digits").json()["versions"][0] == moved["version"]
    body = {"inputs": pd.read_parquet("data/digits.parquet").drop(columns="label").head(1).to_dict("records")}
    assert httpx.post(f"{stack.addresses.serving_url}/predict/digits", json=body).json()["version"] == moved["version"]


def test_a_run_of_the_deployment_does_the_same(stack):
    config = {"model_name": "by-worker", "train": {"epochs": 3}, "prune": {"ratios": []}}
    parameter = f"config={json.dumps(config)}"
    done = stack.python("-m", "prefect", "deployment", "run", "retrain/digits", "--param", parameter, "--watch")
    assert "Completed" in done.stdout
    assert stack.journal("by-worker").champion() is not None
    assert stack.mlflow().get_registered_model("by-worker").aliases == {"champion": "1"}
