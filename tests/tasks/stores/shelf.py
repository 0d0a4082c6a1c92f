"""Published versions of small real graphs, with or without MLflow."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from onnx import TensorProto, helper

from tasks.contracts.dataset import Dataset
from tasks.contracts.manifest import File, GoldenBatch, JournalEntry, Lineage, Manifest
from tasks.contracts.signature import Signature, Tensor
from tasks.contracts.verdict import Gate
from tasks.datasets.build import build_dataset
from tasks.stores import rebuild, registry, tracking
from tasks.stores.datasets import put_dataset
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store

SIGNATURE = Signature(
    inputs=(Tensor(name="features", datatype="FP32", shape=(-1, 2), columns=("a", "b"), nullable=(False, False)),),
    outputs=(Tensor(name="value", datatype="FP32", shape=(-1,)),),
)


def graph(slope: float) -> bytes:
    """value = slope * a."""
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["column"]),
        helper.make_node("Squeeze", ["column", "axis"], ["value"]),
    ]
    constants = [
        helper.make_tensor("weights", TensorProto.FLOAT, [2, 1], [slope, 0.0]),
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
    ]
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 2])]
    outputs = [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["N"])]
    body = helper.make_graph(nodes, "line", inputs, outputs, constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def dataset(store: Store, folder: Path, slope: float = 10.0) -> Dataset:
    """Rows of y = slope * a + noise."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(5, 3, 200), "b": rng.normal(size=200)})
    frame["y"] = slope * frame["a"] + rng.normal(size=200)
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "rows.csv", index=False)
    return put_dataset(store, build_dataset(folder / "rows.csv", folder / "splits", target="y"))


def manifest_of(journal: Journal, slope: float, dataset_uri: str = "", **changes: Any) -> Manifest:
    """Its files lie in the store."""
    content = graph(slope)
    files = (
        File(path="model.onnx", artifact=journal.store.put_bytes(content)),
        File(path="README.md", artifact=journal.store.put_bytes(f"# slope {slope}".encode())),
    )
    lineage = Lineage(data_digest="d", config_digest="c", code_digest="k", seed=0, dataset_uri=dataset_uri)
    fields: dict[str, Any] = {
        "model": journal.model,
        "run_key": hashlib.sha256(f"{journal.model} {slope}".encode()).hexdigest(),
        "candidate": "dense/none",
        "metric_name": "rmse",
        "files": files,
        "signature": SIGNATURE,
        "metrics": {"size_bytes": float(len(content)), "p95_ms": 0.25, "test_rmse": slope},
        "gate": Gate(passed=True, reason="none"),
        "golden": GoldenBatch(inputs={"features": [[1.0, 0.0]]}, outputs={"value": [slope]}),
        "lineage": lineage,
        "created_at": "2026-11-21T00:00:00+00:00",
    }
    return Manifest(**(fields | changes))


def publish(journal: Journal, slope: float, *, mlflow: bool = True, uri: str = "", **changes: Any) -> JournalEntry:
    """One version; its number is MLflow's, or counted here."""
    made = manifest_of(journal, slope, uri, **changes)
    address, digest = journal.put_manifest(made)
    published = {entry.version for entry in journal.entries() if entry.action == "publish"}
    version = registered(journal, made, address) if mlflow else str(len(published) + 1)
    return journal.append(
        action="publish", version=version, manifest=digest, run_key=made.run_key, actor="ann", reason="new"
    )


def registered(journal: Journal, made: Manifest, address: str) -> str:
    """The version in MLflow, as publishing makes it."""
    run_id = tracking.open_run(journal.model, "retrain", {}, {})
    with TemporaryDirectory(prefix="ingot-") as folder:
        path = journal.store.fetch(made.graph, Path(folder, "model.onnx"))
        source = tracking.log_onnx_model(run_id, path, made.signature, made.golden.inputs)
    tracking.close_run(run_id)
    card = rebuild.card_of(journal, made)
    return registry.ensure_version(journal.model, made.run_key, source, run_id, rebuild.tags_of(made, address), card)
