"""What is deleted and what is not, in a folder and in a real S3."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.contracts.config import PromoteConfig
from tasks.contracts.dataset import DatasetManifest
from tasks.contracts.errors import IntegrityError
from tasks.contracts.manifest import Declined
from tasks.stores.declined import decline
from tasks.stores.garbage import KINDS, limit, named_keys, sweep
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store
from tests.tasks.stores.shelf import dataset, manifest_of, publish

AHEAD = timedelta(hours=1)


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store in a folder, and one in SeaweedFS."""
    if request.param == "s3":
        found: Store = request.getfixturevalue("store")
        return found
    return Store.from_environment((tmp_path / "store").as_uri(), "part/")


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    return Store.from_environment((tmp_path / "store").as_uri(), "part/")


def fill(store: Store, folder: Path) -> tuple[set[str], set[str]]:
    """Keys that are named, and keys that are garbage."""
    journal = Journal(store, "line")
    data = dataset(store, folder / "named")
    first = publish(journal, 1.0, mlflow=False, uri=data.uri)
    second = publish(journal, 2.0, mlflow=False, uri=data.uri)
    journal.move_pointer(
        journal.append(
            action="promote", version="1", manifest=first.manifest, run_key=first.run_key, actor="ann", reason=""
        )
    )
    refusal = Declined(manifest=second.manifest, champion=first.manifest, reason="no", time="2026-11-21T00:00:00+00:00")
    decline(journal, refusal, PromoteConfig())
    store.create("access/keys.json", b"{}")
    store.create("mlflow/1/model.onnx", b"theirs")
    store.create("incoming/rows.csv", b"a,b")
    named = set(store.keys(""))
    dataset(store, folder / "other", slope=3.0)
    journal.put_manifest(orphan := manifest_of(journal, 9.0))
    Journal(store, "never").put_manifest(manifest_of(Journal(store, "never"), 8.0))
    decline(journal, refusal.model_copy(update={"manifest": orphan.digest}), PromoteConfig())
    store.put_bytes(b"a network that lost")
    store.create("checkpoints/old/1.safetensors", b"weights")
    store.create("results/old.json", b"{}")
    return named, set(store.keys("")) - named


def test_what_nothing_names_goes_and_all_else_stays(place: Store, tmp_path: Path) -> None:
    named, garbage = fill(place, tmp_path)
    ahead = datetime.now(UTC) + AHEAD
    dry = sweep(place, ahead, dry_run=True)
    assert set(place.keys("")) == named | garbage
    swept = sweep(place, ahead, dry_run=False)
    assert set(place.keys("")) == named
    assert dry == swept
    assert sum(heap.objects for heap in swept.garbage.values()) == len(garbage)
    assert all(swept.garbage[kind].objects and swept.garbage[kind].size_bytes for kind in KINDS)
    assert named_keys(place) <= named
    again = sweep(place, ahead, dry_run=False)
    assert all(heap.objects == 0 for heap in again.garbage.values())
    for entry in Journal(place, "line").entries():
        manifest = Journal(place, "line").get_manifest(entry.manifest)
        assert all(place.get_bytes(file.artifact) for file in manifest.files)


def test_what_is_young_stays(place: Store, tmp_path: Path) -> None:
    named, garbage = fill(place, tmp_path)
    sweep(place, datetime.now(UTC) - AHEAD, dry_run=False)
    assert set(place.keys("")) == named | garbage


BREAKAGES: dict[str, Callable[[Store], None]] = {
    "a journal entry": lambda store: store.delete("models/line/journal/00000000000000000001.json"),
    "the whole journal": lambda store: [store.delete(key) for key in list(store.keys("models/line/journal/"))] and None,
    "a manifest": lambda store: store.delete(
        f"models/line/manifests/{Journal(store, 'line').entries()[0].manifest}.json"
    ),
    "a dataset": lambda store: store.delete(
        Journal(store, "line")
        .get_manifest(Journal(store, "line").entries()[0].manifest)
        .lineage.dataset_uri.removeprefix(store.uri(""))
    ),
    "the pointer": lambda store: (
        store.replace("models/line/aliases/champion.json", b"{}", store.read("models/line/aliases/champion.json").etag)
        and None
    ),
}


@pytest.mark.parametrize("broken", BREAKAGES)
def test_nothing_goes_while_anything_that_is_named_cannot_be_read(folder: Store, tmp_path: Path, broken: str) -> None:
    fill(folder, tmp_path)
    BREAKAGES[broken](folder)
    before = set(folder.keys(""))
    with pytest.raises(IntegrityError):
        sweep(folder, datetime.now(UTC) + AHEAD, dry_run=False)
    assert set(folder.keys("")) == before


def test_a_chunk_that_is_put_again_while_garbage_is_collected_stays(folder: Store, monkeypatch) -> None:
    """Listed as old, put again, and only then looked at for deletion."""
    artifact = folder.put_bytes(b"weights")
    path = Path(folder.connection.client.root, "part", "blobs", "sha256", artifact.sha256)
    old = time.time() - 10 * 86400
    os.utime(path, (old, old))

    def put_again(store: Store) -> set[str]:
        store.put_bytes(b"weights")
        return set()

    monkeypatch.setattr("tasks.stores.garbage.named_keys", put_again)
    swept = sweep(folder, datetime.now(UTC) - timedelta(days=7), dry_run=False)
    assert swept.garbage["blobs"].objects == 0 and swept.kept["blobs"].objects == 1
    assert folder.get_bytes(artifact) == b"weights"


@dataclass
class Dying:
    """A client that is killed at its nth deletion."""

    client: Any
    left: int

    def delete_object(self, **arguments: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.client.delete_object(**arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


@pytest.mark.parametrize("deletions", [0, 1, 2, 4, 6])
def test_garbage_collection_that_is_cut_off_leaves_only_garbage(
    folder: Store, tmp_path: Path, deletions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.stores.garbage.SWEEPERS", 1)
    named, garbage = fill(folder, tmp_path)
    client = Dying(folder.connection.client, deletions)
    with pytest.raises(KeyboardInterrupt):
        dying = replace(folder, connection=replace(folder.connection, client=client))
        sweep(dying, datetime.now(UTC) + AHEAD, dry_run=False)
    there = set(folder.keys(""))
    assert named <= there and len(there - named) == len(garbage) - deletions
    for key in there:
        if key.startswith("datasets/"):
            splits = DatasetManifest.model_validate_json(folder.read(key).content).splits
            assert all(folder.holds(artifact) for artifact in splits.values())
    sweep(folder, datetime.now(UTC) + AHEAD, dry_run=False)
    assert set(folder.keys("")) == named


times = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
ages = st.timedeltas(timedelta(0), timedelta(days=400))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(now=times, age=ages, start=st.none() | times)
def test_the_limit_spares_what_is_young_and_what_a_live_run_may_have_found(now, age, start) -> None:
    found = limit(now, age, start)
    assert found <= now - age
    assert start is None or found <= start - timedelta(days=1)
    assert found in {now - age, (start or now) - timedelta(days=1)}
