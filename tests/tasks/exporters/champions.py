"""Champions of real data that need no training loop: a linear answer, published and promoted into a store."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

from tasks.contracts.manifest import File, Lineage
from tasks.contracts.signature import signature_of
from tasks.datasets.build import build_dataset
from tasks.exporters.onnx_graph import assemble, export_network
from tasks.stores.datasets import opened, put_dataset
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store
from tests.tasks.stores.shelf import manifest_of


class WordMeans(nn.Module):
    """Token ids (N, L) to the sum of a fixed vector for each word."""

    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, classes)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.embed(ids).sum(1)


def enthrone(store: Store, model: str, source: Path, **knobs: Any) -> Journal:
    """Build a dataset of the source, fit it by least squares, and make that champion."""
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        dataset = put_dataset(store, build_dataset(source, Path(folder) / "splits", **knobs))
    with opened(store, dataset) as data:
        schema, encoding = data.manifest.schema_, data.manifest.encoding
        rows, target = data.arrays("train")
        network = export_network(_fitted(rows, target, len(schema.labels)), rows[:2], 20)
        loss = "cross_entropy" if schema.labels else "mse"
        content = assemble(data.preprocessor, network, schema, encoding, loss).SerializeToString(deterministic=True)
    journal = Journal(store, model)
    files = (File(path="model.onnx", artifact=store.put_bytes(content)),)
    lineage = Lineage(data_digest="d", config_digest="c", code_digest="k", seed=0, dataset_uri=dataset.uri)
    made = manifest_of(journal, 1.0, files=files, lineage=lineage, signature=signature_of(schema))
    _, digest = journal.put_manifest(made)
    facts = {"version": "1", "manifest": digest, "run_key": made.run_key, "actor": "ann", "reason": "new"}
    journal.append(action="publish", **facts)
    journal.append(action="promote", **facts)
    return journal


def _fitted(rows: np.ndarray, target: np.ndarray, classes: int) -> nn.Module:
    if rows.dtype == np.int64:
        return WordMeans(int(rows.max()) + 2, classes).eval()
    flat = np.column_stack([rows.reshape(len(rows), -1), np.ones(len(rows))])
    wanted = np.eye(classes)[target] if classes else target[:, None]
    weights, *_ = np.linalg.lstsq(flat, wanted, rcond=None)
    linear = nn.Linear(flat.shape[1] - 1, weights.shape[1])
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weights[:-1].T))
        linear.bias.copy_(torch.from_numpy(weights[-1]))
    return nn.Sequential(nn.Flatten(), linear).eval()
