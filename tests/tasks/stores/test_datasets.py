from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.contracts.artifacts import Artifact
from tasks.contracts.errors import IntegrityError
from tasks.contracts.record import sha256_hex
from tasks.datasets.build import build_dataset
from tasks.stores.datasets import opened, put_dataset
from tasks.stores.s3 import Versioned


class Memory:
    """A store in a dictionary, that counts what is fetched."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.fetched: list[str] = []

    def put_file(self, path: Path) -> Artifact:
        digest = sha256_hex(path.read_bytes())
        self.objects[digest] = path.read_bytes()
        return Artifact(uri=f"s3://b/{digest}", sha256=digest, size_bytes=path.stat().st_size, chunks=(digest,))

    def fetch(self, artifact: Artifact, to: Path) -> Path:
        self.fetched.append(artifact.sha256)
        to.write_bytes(self.objects[artifact.sha256])
        return to

    def create(self, key: str, content: bytes) -> bool:
        return self.objects.setdefault(key, content) == content

    def keep(self, key: str, content: bytes) -> None:
        self.objects[key] = content

    def read(self, key: str) -> Versioned | None:
        return Versioned(self.objects[key], "") if key in self.objects else None

    def uri(self, key: str) -> str:
        return f"s3://b/{key}"


def stored(store: Memory, folder: Path, name: str = "splits", **target):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(5, 3, 100), "b": rng.normal(size=100)})
    frame["y"] = target.get("y", 10 * frame["a"] + 7)
    frame.to_csv(folder / "rows.csv", index=False)
    return put_dataset(store, build_dataset(folder / "rows.csv", folder / name, target="y"))


def test_the_same_data_have_the_same_digest_and_address(tmp_path):
    one, two = stored(Memory(), tmp_path, "one"), stored(Memory(), tmp_path, "two")
    assert one == two and one.uri == f"s3://b/datasets/{one.sha256}/dataset.json"
    assert stored(Memory(), tmp_path, "three", y=np.arange(100) / 7).sha256 != one.sha256


def test_numbers_come_back_encoded_and_the_target_standardised(tmp_path):
    store = Memory()
    with opened(store, stored(store, tmp_path)) as data:
        inputs, targets = data.arrays("train")
        rows = data.rows("train")
    raw = rows.inputs["features"]
    assert inputs == pytest.approx((raw - raw.mean(axis=0)) / raw.std(axis=0), abs=1e-4)
    assert targets.dtype == np.float32
    assert targets == pytest.approx((rows.target - rows.target.mean()) / rows.target.std(), abs=1e-4)


def test_classes_come_back_as_indices(tmp_path):
    store = Memory()
    with opened(store, stored(store, tmp_path, y=np.where(np.arange(100) % 3, "no", "yes"))) as data:
        _, targets = data.arrays("validation")
        assert data.manifest.schema_.labels == ("no", "yes")
    assert targets.dtype == np.int64 and set(targets) == {0, 1}


def test_a_split_is_fetched_once_and_only_if_it_is_asked_for(tmp_path):
    store = Memory()
    with opened(store, stored(store, tmp_path)) as data:
        assert store.fetched == []
        data.rows("test")
        data.rows("test")
        assert store.fetched == [data.manifest.splits["test"].sha256]


def test_a_sample_is_drawn_by_seed_without_repetition(tmp_path):
    store = Memory()
    with opened(store, stored(store, tmp_path)) as data:
        sample = data.sample("train", 20, seed=3)
        assert len(np.unique(sample, axis=0)) == 20
        assert (sample == data.sample("train", 20, seed=3)).all()
        assert (sample != data.sample("train", 20, seed=4)).any()
        assert len(data.sample("train", 10_000, seed=0)) == len(data.rows("train"))


def test_a_manifest_that_is_gone_or_changed_is_refused(tmp_path):
    store = Memory()
    dataset = stored(store, tmp_path)
    key = f"datasets/{dataset.sha256}/dataset.json"
    store.objects[key] = store.objects[key].replace(b'"warnings":[', b'"warnings":["added",').replace(b",]", b"]")
    with pytest.raises(IntegrityError, match="was changed after it was written"), opened(store, dataset):
        pass
    del store.objects[key]
    with pytest.raises(IntegrityError, match="is gone from the store: run ingest again"), opened(store, dataset):
        pass
