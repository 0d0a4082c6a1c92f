"""Models made here and published as the flow does: manifest, journal, pointer."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tasks.contracts.manifest import File, GoldenBatch, Lineage, Manifest
from tasks.contracts.schema import Feature, Schema
from tasks.contracts.signature import signature_of
from tasks.contracts.verdict import Gate
from tasks.runtime.session import load
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store

LAYERS = (784, 256, 128, 10)


def mlp(seed: int = 0) -> tuple[Schema, bytes]:
    """784-256-128-10 in fp32 with random weights (speed needs no training): `features` to `label`, `probabilities`."""
    made = np.random.default_rng(seed)
    nodes, constants, last = [], [("labels", np.arange(LAYERS[-1], dtype=np.int64))], "features"
    for index, (wide, narrow) in enumerate(pairwise(LAYERS)):
        weight = made.normal(0, (2 / wide) ** 0.5, (wide, narrow)).astype(np.float32)
        constants += [(f"w{index}", weight), (f"b{index}", np.zeros(narrow, np.float32))]
        name = f"layer{index}" if index < len(LAYERS) - 2 else "logits"
        nodes.append(helper.make_node("Gemm", [last, f"w{index}", f"b{index}"], [name]))
        last = name
        if name != "logits":
            last = f"{name}_relu"
            nodes.append(helper.make_node("Relu", [name], [last]))
    nodes += [
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["best"], axis=1, keepdims=0),
        helper.make_node("Gather", ["labels", "best"], ["label"]),
    ]
    outputs = [("label", TensorProto.INT64, ["n"]), ("probabilities", TensorProto.FLOAT, ["n", LAYERS[-1]])]
    features = tuple(Feature(name=f"p{index}", kind="number") for index in range(LAYERS[0]))
    schema = Schema(task="classification", features=features, target="digit", labels=tuple(range(LAYERS[-1])))
    return schema, _graph(nodes, ("features", TensorProto.FLOAT, ["n", LAYERS[0]]), outputs, constants)


def weighted(weight: float) -> tuple[Schema, bytes]:
    """`value` = weight * (a + b): an answer tells which version gave it."""
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["product"]),
        helper.make_node("Reshape", ["product", "flat"], ["value"]),
    ]
    constants = [("weights", np.full((2, 1), weight, np.float32)), ("flat", np.array([-1], np.int64))]
    features = (Feature(name="a", kind="number"), Feature(name="b", kind="number"))
    schema = Schema(task="regression", features=features, target="y")
    graph = _graph(nodes, ("features", TensorProto.FLOAT, ["n", 2]), [("value", TensorProto.FLOAT, ["n"])], constants)
    return schema, graph


def _graph(nodes: list[Any], taken: tuple[Any, ...], given: list[tuple[Any, ...]], constants: Sequence[Any]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info(*taken)],
        [helper.make_tensor_value_info(*each) for each in given],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def publish(store: Store, name: str, version: str, made: tuple[Schema, bytes], rows: np.ndarray) -> dict[str, str]:
    """Commits a version; returns what a promotion or rollback of it says to the journal.

    Args:
        store: Where.
        name: Of the model.
        version: Its name.
        made: Schema and graph.
        rows: The golden batch's inputs; the graph itself says what they get.
    """
    schema, graph = made
    outputs = {each: array.tolist() for each, array in load(graph).run({"features": rows}).items()}
    manifest = Manifest(
        model=name,
        run_key=hashlib.sha256(graph).hexdigest(),
        candidate="dense/none",
        metric_name="rmse" if schema.task == "regression" else "accuracy",
        files=(File(path="model.onnx", artifact=store.put_bytes(graph)),),
        signature=signature_of(schema),
        metrics={"test": 0.0},
        gate=Gate(passed=True, reason="no gate was asked for"),
        golden=GoldenBatch(inputs={"features": rows.tolist()}, outputs=outputs),
        lineage=Lineage(data_digest="", config_digest="", code_digest="", seed=0),
        created_at=datetime.now(UTC).isoformat(),
    )
    journal = Journal(store, name)
    _, digest = journal.put_manifest(manifest)
    facts = {"version": version, "manifest": digest, "run_key": manifest.run_key}
    journal.append(action="publish", **facts, actor="benchmark", reason="benchmark")
    return facts


def make_champion(store: Store, name: str, facts: Mapping[str, str], action: str = "promote") -> None:
    """Commits a promotion or a rollback, and moves the pointer."""
    journal = Journal(store, name)
    journal.move_pointer(journal.append(action=action, **facts, actor="benchmark", reason="benchmark"))
