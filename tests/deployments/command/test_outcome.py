import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from deployments.command.outcome import (
    addresses,
    as_object,
    candidates_table,
    curl,
    example_request,
    summary,
    write_example,
)
from deployments.local.home import Home
from tasks.contracts.manifest import GoldenBatch, Lineage, Manifest
from tasks.contracts.schema import Feature, Schema
from tasks.contracts.signature import signature_of
from tasks.contracts.verdict import Gate, Measurement
from tasks.contracts.version import ModelVersion


def measured(name: str, **facts) -> Measurement:
    common = {
        "metric": 0.97, "metric_low": 0.9, "metric_high": 0.99, "size_bytes": 150_000, "compressed_bytes": 99_000,
        "p50_ms": 0.01, "p95_ms": 0.02, "parity": 1.0, "largest_difference": 0.0, "compression_rate_parameters": 0.0,
        "compression_rate_bytes": 0.0, "speed_up": 1.0, "within_budget": True,
    }  # fmt: skip
    return Measurement.model_validate({"name": name} | common | facts)


VERSION = ModelVersion(
    model="digits", version="3", seq=5, status="published", champion=True, manifest_uri="s3://ingot/models/[x].json",
    manifest_sha256="ab", flow_run_id="f", flow_run_url="http://prefect/f", mlflow_run_id="m",
    mlflow_version_url="http://mlflow/3", winner="channels-50/static", seconds={"train": 1.5},
    candidates=(measured("dense/none"), measured("channels-50/static", within_budget=False)),
)  # fmt: skip


def printed(table) -> str:
    console = Console(width=140, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def manifest(schema: Schema, inputs, outputs) -> Manifest:
    return Manifest(
        model="m",
        run_key="k",
        candidate="dense/none",
        metric_name="accuracy",
        files=(),
        signature=signature_of(schema),
        metrics={},
        gate=Gate(passed=True, reason=""),
        golden=GoldenBatch(inputs=inputs, outputs=outputs),
        lineage=Lineage(data_digest="", config_digest="", code_digest="", seed=0),
        created_at="2026-01-01T00:00:00+00:00",
    )


def test_the_object_has_the_promised_keys_and_no_others():
    found = as_object(VERSION)
    assert set(found) == {
        "model", "version", "seq", "status", "reason", "champion", "manifest_uri", "manifest_sha256", "flow_run_id",
        "flow_run_url", "mlflow_run_id", "mlflow_version_url", "winner", "candidates", "seconds",
    }  # fmt: skip
    assert list(found["candidates"][0]) == [
        "name", "metric", "size_bytes", "compressed_bytes", "p50_ms", "p95_ms", "parity", "within_budget",
    ]  # fmt: skip
    assert json.loads(json.dumps(found)) == found


def test_the_winner_and_the_front_are_marked():
    candidates = (*VERSION.candidates, measured("dense/static", on_front=True))
    table = candidates_table(candidates, "digits version 3", VERSION.winner, "accuracy")
    rows = [line.split() for line in printed(table).splitlines()]
    figures = ["0.9700", "146.5", "KiB", "96.7", "KiB", "0.010", "0.020", "1.0000"]
    assert ["dense/none", *figures, "yes"] in rows
    assert ["*", "channels-50/static", *figures, "no"] in rows
    assert ["o", "dense/static", *figures, "yes"] in rows


def test_the_four_addresses_are_printed_as_they_are():
    text = addresses(VERSION, "http://127.0.0.1:8080")
    for address in (
        "http://prefect/f",
        "http://mlflow/3",
        "s3://ingot/models/[x].json",
        "http://127.0.0.1:8080/v2/models/digits",
    ):
        assert address in text


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({}, "digits version 3: published, champion"),
        ({"status": "unchanged", "reason": "nothing to do"}, "digits version 3: unchanged, champion: nothing to do"),
        ({"status": "rejected", "version": "", "champion": False, "reason": "too bad"}, "digits: rejected: too bad"),
    ],
)
def test_one_line_says_what_became_of_it(facts, line):
    assert summary(VERSION.model_copy(update=facts)) == line


def test_the_example_of_a_matrix_names_its_columns():
    features = (Feature(name="age", kind="number"), Feature(name="income", kind="number"))
    schema = Schema(task="regression", features=features, target="price")
    found = example_request(manifest(schema, {"features": [[41.0, 2.5], [1.0, 1.0]]}, {"value": [3.25, 1.0]}))
    assert found == ({"inputs": [{"age": 41.0, "income": 2.5}]}, "value 3.25")


def test_the_example_of_one_column_is_still_a_row():
    schema = Schema(task="regression", features=(Feature(name="age", kind="number"),), target="price")
    found, _ = example_request(manifest(schema, {"features": [[41.0]]}, {"value": [3.25]}))
    assert found == {"inputs": [{"age": 41.0}]}


def test_the_example_of_mixed_columns_has_one_key_each():
    features = (Feature(name="age", kind="number"), Feature(name="city", kind="category"))
    schema = Schema(task="classification", features=features, target="y", labels=("no", "yes"))
    outputs = {"label": ["yes"], "probabilities": [[0.1, 0.9]]}
    found = example_request(manifest(schema, {"age": [41.0], "city": ["Oslo"]}, outputs))
    assert found == ({"inputs": [{"age": 41.0, "city": "Oslo"}]}, "label 'yes'")


@pytest.mark.parametrize(
    ("kind", "shape", "value"), [("image", (2, 2), [[0, 1], [2, 3]]), ("text", (), "where is my parcel")]
)
def test_the_example_of_an_image_or_a_text_is_one_value(kind, shape, value):
    feature = Feature(name="whatever", kind=kind, shape=shape)
    schema = Schema(task="classification", features=(feature,), target="y", labels=(0, 1))
    found = example_request(manifest(schema, {kind: [value]}, {"label": [1], "probabilities": [[0.1, 0.9]]}))
    assert found == ({"inputs": [{kind: value}]}, "label 1")


def test_the_request_to_paste_reads_the_example_that_was_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_example(Home(tmp_path / ".ingot"), "digits", {"inputs": [{"a": 1}]})
    assert json.loads(path.read_text()) == {"inputs": [{"a": 1}]}
    assert curl("http://127.0.0.1:8080", "digits", path) == (
        "curl -s http://127.0.0.1:8080/predict/digits "
        "-H 'Content-Type: application/json' -d @.ingot/examples/digits.json"
    )
    monkeypatch.chdir("/usr")
    assert str(Path(path)) in curl("http://127.0.0.1:8080", "digits", path)


def test_a_narrow_terminal_gets_the_columns_that_decide():
    text = printed(candidates_table(VERSION.candidates, "digits", VERSION.winner, "accuracy", width=60))
    heading = next(line.split() for line in text.splitlines() if "candidate" in line)
    assert heading == ["candidate", "accuracy", "size", "p95", "ms", "in", "budget"]
    assert max(map(len, (line.rstrip() for line in text.splitlines()))) <= 72
