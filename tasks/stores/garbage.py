"""Deleting what no journal entry names: marked from the journals, swept by age.

Named are the manifests of all entries of all models, their files, their datasets and the splits of these. Whatever is
used again is written again once it is a day old (`Store.keep`, `put_bytes`, `put_file`), so age tells what is in use:
nothing goes that was written after the oldest live run began, less that day. If anything cannot be read, nothing is
deleted. Names go before what they name: whoever is cut off leaves garbage, never a name of nothing.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, NamedTuple

from tasks.contracts.artifacts import Artifact
from tasks.contracts.dataset import DatasetManifest
from tasks.contracts.errors import IntegrityError
from tasks.contracts.manifest import Manifest
from tasks.contracts.record import sha256_hex
from tasks.stores.journal import Journal
from tasks.stores.reconciliation import models_of
from tasks.stores.s3 import Object, Store

Kind = Literal["declined", "manifests", "results", "datasets", "checkpoints", "blobs"]

KINDS: tuple[Kind, ...] = ("declined", "manifests", "results", "datasets", "checkpoints", "blobs")
"""In the order in which they are swept."""

SWEEPERS = 16
REUSE = timedelta(days=1)
"""How old a chunk may be that a run found standing and did not write again."""


class Heap(NamedTuple):
    """Objects of one kind."""

    objects: int
    size_bytes: int


class Sweep(NamedTuple):
    """What was deleted, or would be, and what was kept."""

    garbage: dict[Kind, Heap]
    kept: dict[Kind, Heap]


def sweep(store: Store, before: datetime, *, dry_run: bool) -> Sweep:
    """Deletes what nothing names and was written before a time.

    Args:
        store: What to sweep.
        before: With its time zone; see `limit`.
        dry_run: Only says what would be deleted.

    Raises:
        IntegrityError: a journal, a manifest or a dataset cannot be read: nothing was deleted.
    """
    there = {kind: list(_objects(store, kind)) for kind in KINDS}
    named = named_keys(store)  # read after the listing: what was committed meanwhile is named
    garbage = {
        kind: [o for o in found if o.modified < before and not _is_named(o, named)] for kind, found in there.items()
    }
    if not dry_run:
        with ThreadPoolExecutor(SWEEPERS) as pool:
            for kind in KINDS:
                done = pool.map(partial(_delete, store, before), garbage[kind])
                garbage[kind] = [each for each, gone in zip(garbage[kind], done, strict=True) if gone]
    kept = {kind: [o for o in found if o not in set(garbage[kind])] for kind, found in there.items()}
    return Sweep(_heaps(garbage), _heaps(kept))


def limit(now: datetime, age: timedelta, oldest_start: datetime | None) -> datetime:
    """Before which time an object must have been written to be garbage.

    Args:
        now: The present.
        age: How old garbage must be at least.
        oldest_start: When the oldest live run began; None if none is under way.
    """
    return min(now - age, oldest_start - REUSE) if oldest_start else now - age


def named_keys(store: Store) -> set[str]:
    """The key of every object that a journal names, at first hand or further off.

    Raises:
        IntegrityError: something that is named cannot be read.
    """
    named: set[str] = set()
    datasets: set[str] = set()
    for model in models_of(store):
        for manifest, key in _manifests(Journal(store, model)):
            named |= {key, *(key for file in manifest.files for key in _chunks(file.artifact))}
            datasets |= _dataset(store, manifest)
    for key in datasets:
        named |= {key, *_splits(store, key)}
    return named


def _manifests(journal: Journal) -> Iterator[tuple[Manifest, str]]:
    entries, pointer = journal.entries(), journal.pointer()
    if pointer is not None and pointer.seq > len(entries):
        raise IntegrityError(
            f"journal of {journal.model!r} ends before entry {pointer.seq}, which its pointer names: restore it"
        )
    for digest in {entry.manifest for entry in entries}:
        yield journal.get_manifest(digest), journal.manifest_uri(digest).removeprefix(journal.store.uri(""))


def _dataset(store: Store, manifest: Manifest) -> set[str]:
    """The dataset of a version, if it stands in this store, under whatever address that was known then."""
    uri = manifest.lineage.dataset_uri
    if uri.startswith(store.uri("")):
        return {uri.removeprefix(store.uri(""))}
    key = f"datasets/{manifest.lineage.data_digest}/dataset.json"
    return {key} if uri and store.read(key) is not None else set()


def _splits(store: Store, key: str) -> Iterator[str]:
    found = store.read(key)
    if found is None:
        raise IntegrityError(f"{store.uri(key)} is missing, but a version was made from it: restore it")
    try:
        dataset = DatasetManifest.model_validate_json(found.content)
    except ValueError as error:
        raise IntegrityError(f"{store.uri(key)} holds no dataset, but must: restore it") from error
    if f"datasets/{sha256_hex(found.content)}/dataset.json" != key:
        raise IntegrityError(f"{store.uri(key)} holds other bytes than its name says: restore it")
    for artifact in (*dataset.splits.values(), *([dataset.quarantine.file] if dataset.quarantine else [])):
        yield from _chunks(artifact)


def _chunks(artifact: Artifact) -> Iterator[str]:
    yield from (f"blobs/sha256/{digest}" for digest in artifact.chunks)


def _objects(store: Store, kind: Kind) -> Iterator[Object]:
    if kind in ("declined", "manifests"):
        for found in store.objects("models/"):
            if found.key.split("/")[2:3] == [kind]:
                yield found
    else:
        yield from store.objects(f"{kind}/")


def _is_named(found: Object, named: set[str]) -> bool:
    """Whether an object is named; a refusal is as long as its manifest is, whose digest its name begins with."""
    parts = found.key.split("/")
    if parts[0] == "models" and parts[2] == "declined":
        return f"models/{parts[1]}/manifests/{parts[3].partition('-')[0]}.json" in named
    return found.key in named


def _delete(store: Store, before: datetime, found: Object) -> bool:
    """Deletes an object unless it was written again since it was listed."""
    standing = store.look(found.key)
    if standing is None or standing.modified >= before:
        return False
    store.delete(found.key)
    return True


def _heaps(objects: dict[Kind, list[Object]]) -> dict[Kind, Heap]:
    return {kind: Heap(len(found), sum(each.size_bytes for each in found)) for kind, found in objects.items()}
