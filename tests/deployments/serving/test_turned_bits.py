"""One bit that was turned anywhere in the store is refused by whoever reads it, and the old version goes on answering.

The store is a folder, read by the same code as S3.
"""

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest

from deployments.serving.library import Library
from deployments.serving.watcher import Watcher
from tasks.contracts.errors import IntegrityError
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store

TURNS = int(os.environ.get("INGOT_TURNED_BITS", "250"))


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root) -> Store:
    return Store.from_environment(root.as_uri())


@pytest.fixture(params=["plain", "zstd"])
def models(request, tiny):
    """Two versions of a model; weights of noise lie plain in the store, those that are zero lie under zstd."""
    noise = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    ballast = noise if request.param == "plain" else noise * (np.arange(2000) % 9 == 0)
    return [heavier(tiny.numbers(weight), ballast) for weight in (1.0, 2.0)]


def heavier(made, ballast):
    schema, graph, rows = made
    model = onnx.load_from_string(graph)
    model.graph.initializer.append(onnx.numpy_helper.from_array(ballast, "ballast"))
    return schema, model.SerializeToString(), rows


@contextmanager
def turned(path: Path, bit: int) -> Iterator[None]:
    """A file with one bit turned, for a while."""
    before = path.read_bytes()
    after = bytearray(before)
    after[bit // 8] ^= 1 << bit % 8
    path.write_bytes(after)
    try:
        yield
    finally:
        path.write_bytes(before)


def random_bits(paths: list[Path], times: int) -> Iterator[tuple[Path, int]]:
    """Files and bits of theirs, every file as often as the next."""
    chance = random.Random(0)
    for turn in range(times):
        path = paths[turn % len(paths)]
        yield path, chance.randrange(8 * path.stat().st_size)


def objects(root: Path, *folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((root / folder).rglob("*")) if path.is_file()]


def read_everything(store: Store, model: str) -> None:
    journal = Journal(store, model)
    journal.pointer()
    for entry in journal.entries():
        for file in journal.get_manifest(entry.manifest).files:
            store.get_bytes(file.artifact)


def served(library):
    return [each.version for each in library.served("numbers")]


def test_no_bit_of_anything_that_lies_in_the_store_can_be_turned(tiny, root, store, models):
    for version, made in enumerate(models, start=1):
        tiny.publish(store, "numbers", str(version), made)
    read_everything(store, "numbers")
    paths = objects(root, "blobs", "models")
    assert len(paths) == 2 + 2 + 4 + 1  # graphs, manifests, entries, pointer
    for path, bit in random_bits(paths, TURNS):
        with turned(path, bit), pytest.raises(IntegrityError):
            read_everything(store, "numbers")
    read_everything(store, "numbers")


def test_whatever_bit_is_turned_the_old_version_goes_on_answering(tiny, root, store, models):
    tiny.publish(store, "numbers", "1", models[0])
    library = Library(["numbers"])
    Watcher(store, library, ["numbers"]).look()
    old = set(objects(root, "blobs", "models/numbers/manifests"))
    tiny.publish(store, "numbers", "2", models[1])
    paths = [path for path in objects(root, "blobs", "models") if path not in old]
    assert len(paths) == 1 + 1 + 4 + 1
    for turn, (path, bit) in enumerate(random_bits(paths, TURNS), start=1):
        with turned(path, bit):
            Watcher(store, library, ["numbers"]).look()
        assert served(library) == ["1"]
        assert library.shelf("numbers").refused == turn
        assert library.shelf("numbers").last_refusal
    Watcher(store, library, ["numbers"]).look()
    assert served(library) == ["2", "1"]


@pytest.mark.parametrize("folder", ["blobs", "models/numbers/manifests", "models/numbers/journal"])
def test_what_is_turned_back_is_taken_up_by_the_same_watcher(tiny, root, store, folder):
    tiny.publish(store, "numbers", "1", tiny.numbers(1.0))
    library = Library(["numbers"])
    watcher = Watcher(store, library, ["numbers"])
    watcher.look()
    before = set(objects(root, folder))
    tiny.publish(store, "numbers", "2", tiny.numbers(2.0))
    with turned((set(objects(root, folder)) - before).pop(), 100):
        watcher.look()
        assert (served(library), library.shelf("numbers").refused) == (["1"], 1)
    time.sleep(1.05)  # a refused version is tried again after a second
    watcher.look()
    assert served(library) == ["2", "1"]


def test_a_pointer_that_is_turned_back_is_followed_at_once(tiny, root, store):
    tiny.publish(store, "numbers", "1", tiny.numbers(1.0))
    library = Library(["numbers"])
    watcher = Watcher(store, library, ["numbers"])
    watcher.look()
    tiny.publish(store, "numbers", "2", tiny.numbers(2.0))
    with turned(root / "models/numbers/aliases/champion.json", 100):
        watcher.look()
        assert (served(library), library.shelf("numbers").refused) == (["1"], 1)
    watcher.look()
    assert served(library) == ["2", "1"]
