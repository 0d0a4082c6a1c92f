"""Models and versions on a real MLflow server, loaded as a user of MLflow would."""

import hashlib
import json
import secrets
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tasks.contracts.errors import InputError
from tasks.contracts.signature import Signature, Tensor
from tasks.stores import registry, tracking
from tasks.stores.tracking.client import client

MIXED = Signature(
    inputs=(
        Tensor(name="age", datatype="FP32", shape=(-1,), columns=("age",), nullable=(True,)),
        Tensor(name="city", datatype="BYTES", shape=(-1,), columns=("city",), nullable=(False,)),
    ),
    outputs=(
        Tensor(name="label", datatype="BYTES", shape=(-1,)),
        Tensor(name="probabilities", datatype="FP32", shape=(-1, 2)),
    ),
    labels=("no", "yes"),
)
EXAMPLE = {"age": [30.0, None], "city": ["Oslo", "Rome"]}


@pytest.fixture
def name() -> str:
    return f"model-{secrets.token_hex(4)}"


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """Numbers and strings in, labels and probabilities out, as the exporter writes it."""
    nodes = [
        helper.make_node("IsNaN", ["age"], ["missing"]),
        helper.make_node("Where", ["missing", "mean", "age"], ["filled"]),
        helper.make_node(
            "LabelEncoder",
            ["city"],
            ["place"],
            domain="ai.onnx.ml",
            keys_strings=["Oslo", "Rome"],
            values_floats=[10.0, -50.0],
            default_float=0.0,
        ),
        helper.make_node("Add", ["filled", "place"], ["sum"]),
        helper.make_node("Unsqueeze", ["sum", "axis"], ["column"]),
        helper.make_node("MatMul", ["column", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["index"], axis=1, keepdims=0),
        helper.make_node(
            "LabelEncoder",
            ["index"],
            ["label"],
            domain="ai.onnx.ml",
            keys_int64s=[0, 1],
            values_strings=["no", "yes"],
        ),
    ]
    inputs = [
        helper.make_tensor_value_info("age", TensorProto.FLOAT, ["N"]),
        helper.make_tensor_value_info("city", TensorProto.STRING, ["N"]),
    ]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.STRING, ["N"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2]),
    ]
    constants = [
        helper.make_tensor("mean", TensorProto.FLOAT, [1], [20.0]),
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("weights", TensorProto.FLOAT, [1, 2], [-0.1, 0.1]),
    ]
    body = helper.make_graph(nodes, "mixed", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(body, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, tmp_path / "graph.onnx")
    return tmp_path / "graph.onnx"


@pytest.fixture
def run_id(mlflow_address: str, name: str) -> str:
    return tracking.open_run(name, "retrain", {"seed": "0"}, {})


def publish(name: str, run_id: str, source: str, run_key: str = "k") -> str:
    return registry.ensure_version(name, run_key, source, run_id, {"candidate": "dense/none"}, "# card")


def versions(name: str) -> list[str]:
    return sorted(found.version for found in client().search_model_versions(f"name = '{name}'"))


# the model


def test_a_users_program_loads_the_champion_with_onnx_and_pyfunc(
    mlflow_address: str, name: str, run_id: str, graph: Path, tmp_path: Path
) -> None:
    source = tracking.log_onnx_model(run_id, graph, MIXED, EXAMPLE)
    registry.set_alias(name, "champion", publish(name, run_id, source))
    rows = {"age": np.array([30.0, np.nan], "float32"), "city": np.array(["Oslo", "Rome"])}
    label, probabilities = onnxruntime.InferenceSession(graph).run(None, rows)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(name=name))
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert answers.pop("ours") == []
    assert answers.pop("sha256") == hashlib.sha256(onnx.load(graph).SerializeToString(deterministic=True)).hexdigest()
    assert answers.pop("example") == {"age": [30.0, "nan"], "city": ["Oslo", "Rome"]}
    for way in ("arrays", "objects", "frame"):
        assert answers[way]["label"] == list(label)
        np.testing.assert_allclose(answers[way]["probabilities"], probabilities, rtol=1e-6)


PROGRAM = """
import hashlib, json, sys
import mlflow, numpy as np, pandas as pd
graph = mlflow.onnx.load_model("models:/{name}@champion")
model = mlflow.pyfunc.load_model("models:/{name}@champion")
age, city = np.array([30, np.nan], "float32"), ["Oslo", "Rome"]
asked = {{
    "arrays": {{"age": age, "city": np.array(city)}},
    "objects": {{"age": age, "city": np.array(city, dtype=object)}},
    "frame": pd.DataFrame({{"age": age, "city": city}}),
}}
answers = {{way: model.predict(rows) for way, rows in asked.items()}}
print(json.dumps({{
    **{{way: {{n: a.tolist() for n, a in answer.items()}} for way, answer in answers.items()}},
    "sha256": hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest(),
    "example": {{
        n: ["nan" if v != v else v for v in a.tolist()] for n, a in model.input_example.items()
    }},
    "ours": [n for n in sys.modules if n.split(".")[0] in ("tasks", "flows", "deployments", "torch")],
}}))
"""


def test_a_matrix_of_numbers_goes_in_under_its_name(
    mlflow_address: str, name: str, run_id: str, tmp_path: Path
) -> None:
    import mlflow

    body = helper.make_graph(
        [helper.make_node("ReduceSum", ["features", "axis"], ["value"], keepdims=0)],
        "sum",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["N"])],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "sum.onnx")
    signature = Signature(
        inputs=(Tensor(name="features", datatype="FP32", shape=(-1, 3)),),
        outputs=(Tensor(name="value", datatype="FP32", shape=(-1,)),),
    )
    source = tracking.log_onnx_model(run_id, tmp_path / "sum.onnx", signature, {"features": [[1.0, 2.0, 3.0]]})
    loaded = mlflow.pyfunc.load_model(f"models:/{name}/{publish(name, run_id, source)}")
    got = loaded.predict({"features": np.array([[1, 2, 3], [4, 5, 6]], "float32")})
    assert got["value"].tolist() == [6.0, 15.0]


def test_the_model_in_mlflow_is_the_very_file(mlflow_address: str, run_id: str, graph: Path, tmp_path: Path) -> None:
    source = tracking.log_onnx_model(run_id, graph, MIXED, EXAMPLE)
    import mlflow.artifacts

    folder = Path(mlflow.artifacts.download_artifacts(source, dst_path=str(tmp_path / "copy")))
    assert (folder / "model.onnx").read_bytes() == graph.read_bytes()
    requirements = (folder / "requirements.txt").read_text().split()
    assert f"onnxruntime=={onnxruntime.__version__}" in requirements
    assert not any("@" in line or "/" in line for line in requirements)


def test_the_run_shows_its_model(mlflow_address: str, name: str, run_id: str, graph: Path) -> None:
    source = tracking.log_onnx_model(run_id, graph, MIXED, EXAMPLE)
    (output,) = client().get_run(run_id).outputs.model_outputs
    assert source == f"models:/{output.model_id}"
    model = client().get_logged_model(output.model_id)
    assert (model.name, model.source_run_id, str(model.status)) == (name, run_id, "READY")


# versions


def test_a_version_carries_run_tags_and_card(mlflow_address: str, name: str, run_id: str, graph: Path) -> None:
    source = tracking.log_onnx_model(run_id, graph, MIXED, EXAMPLE)
    version = publish(name, run_id, source)
    found = client().get_model_version(name, version)
    assert version == "1"
    assert found.run_id == run_id
    assert found.source == source
    assert found.tags == {"candidate": "dense/none", "run_key": "k"}
    assert found.description == "# card"
    assert found.status == "READY"


def test_the_same_result_is_the_same_version(run_id: str, name: str, source: str) -> None:
    assert [publish(name, run_id, source, key) for key in ("a", "b", "a", "b", "a")] == ["1", "2", "1", "2", "1"]
    assert versions(name) == ["1", "2"]


def test_callers_at_once_make_one_version(run_id: str, name: str, source: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda i: publish(name, run_id, source, f"key {i % 2}"), range(8)))
    assert len(set(got[::2])) == len(set(got[1::2])) == 1
    assert len(versions(name)) == 2


def test_processes_at_once_agree_on_one_version(
    run_id: str, name: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock of a process is taken away: what is left is what holds between machines."""
    monkeypatch.setattr(registry, "_one_at_a_time", NoLock())
    for round_ in range(2):
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda _, r=round_: publish(name, run_id, source, f"key {r}"), range(4)))
        assert len(set(got)) == 1
    assert len(versions(name)) == 2


class NoLock:
    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


@dataclass
class Doubling:
    """A client that creates a version twice, as happens when the answer to the first request is lost."""

    client: Any
    lock: Any

    def create_model_version(self, *arguments: Any, **named: Any) -> Any:
        self.client.create_model_version(*arguments, **named)
        return self.client.create_model_version(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


def test_a_version_that_was_created_twice_is_deleted_again(
    run_id: str, name: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubling = Doubling(client(), Lock())
    monkeypatch.setattr(registry, "client", lambda: doubling)
    assert publish(name, run_id, source) == "1"
    assert versions(name) == ["1"]


def test_a_second_version_that_a_crash_left_is_deleted_by_the_next_caller(run_id: str, name: str, source: str) -> None:
    publish(name, run_id, source)
    model_id = source.removeprefix("models:/")
    client().create_model_version(name, source, run_id, tags={"run_key": "k"}, model_id=model_id)
    assert versions(name) == ["1", "2"]
    assert publish(name, run_id, source) == "1"
    assert versions(name) == ["1"]


def test_a_long_card_is_cut(run_id: str, name: str, source: str) -> None:
    version = registry.ensure_version(name, "k", source, run_id, {}, "x" * 9000)
    assert client().get_model_version(name, version).description == "x" * 5000


@pytest.fixture
def source(run_id: str, graph: Path) -> str:
    return tracking.log_onnx_model(run_id, graph, MIXED, EXAMPLE)


# aliases and addresses


def test_an_alias_means_a_version_until_it_is_moved(run_id: str, name: str, source: str) -> None:
    assert registry.alias_of(name, "champion") is None
    one, two = publish(name, run_id, source, "a"), publish(name, run_id, source, "b")
    assert registry.alias_of(name, "champion") is None
    registry.set_alias(name, "champion", one)
    assert registry.alias_of(name, "champion") == one
    registry.set_alias(name, "champion", two)
    assert registry.alias_of(name, "champion") == two
    assert registry.alias_of(name, "challenger") is None


def test_refuses_an_alias_for_a_version_that_is_not(run_id: str, name: str, source: str) -> None:
    publish(name, run_id, source)
    with pytest.raises(InputError, match=rf"refused: RESOURCE_DOES_NOT_EXIST: Model Version .name={name}, version=9"):
        registry.set_alias(name, "champion", "9")


def test_the_address_of_a_version_opens_its_page(mlflow_address: str, name: str) -> None:
    url = registry.version_url(name, "3")
    assert url == f"{mlflow_address}/#/models/{name}/versions/3"
    with urllib.request.urlopen(url.partition("#")[0]) as answer:
        assert answer.status == 200


def test_asking_for_mlflows_address_imports_no_mlflow() -> None:
    code = "import sys; import tasks.stores.registry, tasks.stores.tracking; print('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
