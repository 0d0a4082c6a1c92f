"""A search on the real stack: every trial is seen in Prefect and in MLflow; a model that is brought is served."""

import json
from pathlib import Path

import httpx
import mlflow
import pandas as pd
import pytest

pytestmark = pytest.mark.end_to_end

ASKED = {
    "model_name": "searched",
    "train.epochs": "12",
    "prune.ratios": "[0.25, 0.5]",
    "prune.sparsities": "[0.8]",
    "prune.students": "[[16, 8]]",
    "prune.finetune_epochs": "3",
    "prune.distill": "true",
    "quantize.schemes": "[none, dynamic, static, int4, qat]",
    "evaluate.max_drop": "3",
    "evaluate.max_size_bytes": "12000",
    "export.extra_formats": "[openvino]",
}


def fields(asked: dict[str, str]) -> list[str]:
    return [word for name, value in asked.items() for word in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def searched(stack) -> dict:
    """One run that tries many things."""
    pytest.importorskip("openvino")
    return stack.run("digits", *fields(ASKED))


def test_the_winner_is_the_smallest_inside_the_budget(searched):
    inside = [candidate for candidate in searched["candidates"] if candidate["within_budget"]]
    assert searched["winner"] == min(inside, key=lambda candidate: candidate["size_bytes"])["name"]
    assert all(candidate["size_bytes"] <= 12_000 for candidate in inside)
    networks = {candidate["name"].split("/")[0] for candidate in searched["candidates"]}
    assert {"dense", "student-16-8"} <= networks and len(networks) > 2


def test_every_trial_is_a_node_of_the_graph(searched, stack):
    asked = {"flow_runs": {"id": {"any_": [searched["flow_run_id"]]}}, "limit": 200}
    runs = httpx.post(f"{stack.addresses.prefect_api_url}/task_runs/filter", json=asked).json()
    names = {run["name"] for run in runs}
    assert {f"survey {name}" for name in ("channels-25", "magnitude-80", "student-16-8")} <= names
    assert {"prune channels-50-magnitude-80", "prune student-16-8", "quantize dense qat"} <= names
    assert any(name.startswith("finetune ") for name in names)
    artifacts = httpx.post(f"{stack.addresses.prefect_api_url}/artifacts/filter", json=asked).json()
    assert {artifact["key"] for artifact in artifacts} >= {
        f"searched-{shown}"
        for shown in ("plan", "data", "training", "candidates", "pareto", "parity", "formats", "importance", "card")
    }


def test_every_trial_is_a_run_in_mlflow_and_says_what_became_of_it(searched, stack, tmp_path):
    client = stack.mlflow()
    parent = client.get_run(searched["mlflow_run_id"])
    query = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    children = {run.info.run_name: run for run in client.search_runs([parent.info.experiment_id], query)}
    content = mlflow.artifacts.download_artifacts(
        run_id=parent.info.run_id, artifact_path="pareto.json", dst_path=str(tmp_path),
        tracking_uri=stack.addresses.mlflow_tracking_uri,
    )  # fmt: skip
    pareto = json.loads(Path(content).read_text())
    measured = {candidate["name"] for candidate in pareto["candidates"]}
    dropped = {each["name"]: each["reason"] for each in pareto["dropped"]}
    assert measured == {candidate["name"] for candidate in searched["candidates"]}
    assert {f"{searched['winner']}+openvino"} == set(children) - measured - set(dropped)
    assert {name: children[name].data.tags["reason"] for name in dropped} == dropped
    assert pareto["front"] and pareto["conditions"]["threads"] == 1


def test_the_other_format_is_published_with_the_winner(searched, stack):
    files = {file.path for file in stack.journal("searched").get_manifest(searched["manifest_sha256"]).files}
    assert files == {"model.onnx", "README.md", "openvino/model.xml", "openvino/model.bin"}


def test_a_model_that_is_brought_is_quantized_published_and_served(stack, trained):
    brought = {
        "model_name": "brought",
        "ingest.scaling": "none",
        "train.family": "pretrained",
        "train.source": str(trained),
        "prune.ratios": "[]",
    }
    run = stack.run("digits", *fields(brought))
    assert run["champion"] and run["winner"].startswith("dense/") and run["winner"] != "dense/none"
    table = pd.read_parquet("data/digits.parquet").head(50)
    body = {"inputs": table.drop(columns="label").to_dict("records")}
    answers = httpx.post(f"{stack.addresses.serving_url}/predict/brought", json=body).json()["outputs"]
    assert sum(row["label"] == label for row, label in zip(answers, table["label"], strict=True)) >= 45
