"""What the doors of the search work on: a store in memory, a small dataset, a trained dense network."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from tasks.contracts.artifacts import Artifact, Network, Run
from tasks.contracts.config import TrainConfig
from tasks.contracts.dataset import Dataset
from tasks.contracts.record import sha256_hex
from tasks.datasets.build import build_dataset
from tasks.models import zoo
from tasks.stores.datasets import opened, put_dataset
from tasks.stores.networks import get_network, put_network
from tasks.stores.s3 import Store, Versioned
from tasks.trainers import launch
from tasks.trainers.loop import Arrays

DIGITS = Path(__file__).parents[2] / "data" / "digits.parquet"
TRAINING = TrainConfig(hidden_sizes=(48, 32), epochs=8)


@dataclass
class Memory:
    """A store in a dictionary."""

    objects: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, "Memory"] = field(default_factory=dict)

    def part(self, prefix: str) -> "Memory":
        return self.parts.setdefault(prefix, Memory())

    def keys(self, prefix: str) -> list[str]:
        return [key for key in self.objects if key.startswith(prefix)]

    def put_bytes(self, content: bytes) -> Artifact:
        digest = sha256_hex(content)
        self.objects[digest] = content
        return Artifact(uri=f"s3://b/{digest}", sha256=digest, size_bytes=len(content), chunks=(digest,))

    def put_file(self, path: Path) -> Artifact:
        return self.put_bytes(path.read_bytes())

    def get_bytes(self, artifact: Artifact) -> bytes:
        return self.objects[artifact.sha256]

    def fetch(self, artifact: Artifact, to: Path) -> Path:
        to.write_bytes(self.objects[artifact.sha256])
        return to

    def create(self, key: str, content: bytes) -> bool:
        return self.objects.setdefault(key, content) == content

    def replace(self, key: str, content: bytes, etag: str | None) -> bool:
        self.objects[key] = content
        return True

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def refresh(self, artifact: Artifact) -> bool:
        return artifact.sha256 in self.objects

    def keep(self, key: str, content: bytes) -> None:
        self.objects[key] = content

    def read(self, key: str) -> Versioned | None:
        return Versioned(self.objects[key], "") if key in self.objects else None

    def uri(self, key: str) -> str:
        return f"s3://b/{key}"


@dataclass(frozen=True)
class Bench:
    """A dataset, a network trained on it, and the forms of that training."""

    store: Memory
    dataset: Dataset
    dense: Network
    run: Run
    home: Path
    training: TrainConfig = TRAINING

    def module(self, network: Network) -> torch.nn.Module:
        return get_network(self.store, network)

    def curve(self, name: str) -> list[tuple[int, float]]:
        """Epoch and value of a metric, as they wait for an MLflow that does not answer."""
        waiting = [json.loads(path.read_text()) for path in sorted((self.home / "spool").glob("*.json"))]
        return [(step, value) for each in waiting for found, value, _, step in each["points"] if found == name]


@pytest.fixture(scope="session")
def trained_digits(tmp_path_factory):
    torch.set_num_threads(1)
    store, folder = Memory(), tmp_path_factory.mktemp("digits")
    dataset = put_dataset(store, build_dataset(DIGITS, folder / "splits"))
    with opened(store, dataset) as data:
        recipe = launch.recipe(data.manifest.schema_, data.manifest.encoding, TRAINING)
        module = zoo.build(recipe.architecture)
        fit = launch.run(
            module, *(Arrays(*data.arrays(split)) for split in ("train", "validation")), recipe=recipe, seed=0
        )
    dense = put_network(
        store, module, name="dense", architecture=recipe.architecture, history=[], loss=recipe.loss, metric=fit.metric
    )
    return store, dataset, dense


@pytest.fixture
def bench(trained_digits, monkeypatch, tmp_path):
    """Doors find the store in memory, and no MLflow."""
    trained, dataset, dense = trained_digits
    store = Memory(dict(trained.objects))  # of its own: what one test did before, another would not do again
    monkeypatch.setattr(Store, "from_environment", lambda *_: store)
    monkeypatch.setenv("INGOT_HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    run = Run(model_name="digits", seed=0, config_digest="", code_digest="", mlflow_run_id="r")
    return Bench(store, dataset, dense, run, tmp_path)
