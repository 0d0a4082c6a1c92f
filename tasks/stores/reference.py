"""What a champion learned from: its manifest, and the dataset that the manifest names."""

from pathlib import PurePosixPath

from tasks.contracts.dataset import Dataset, DatasetManifest
from tasks.contracts.errors import InputError, IntegrityError, unknown_name
from tasks.contracts.manifest import JournalEntry, Manifest
from tasks.stores.journal import Journal
from tasks.stores.reconciliation import models_of
from tasks.stores.s3 import Store


def champion_of(store: Store, model: str) -> tuple[JournalEntry, Manifest]:
    """The entry that made the present champion, and its manifest.

    Raises:
        InputError: There is no such model, or it has no champion.
    """
    journal = Journal(store, model)
    entry = journal.champion()
    if entry is None:
        known = models_of(store)
        if model not in known:
            raise InputError(unknown_name("model", model, known))
        raise InputError(f"model {model!r} has no champion, but must have one: promote a version first")
    return entry, journal.get_manifest(entry.manifest)


def dataset_of(store: Store, manifest: Manifest) -> Dataset:
    """The dataset that a version was trained on.

    Raises:
        IntegrityError: It is not in this store.
    """
    uri = manifest.lineage.dataset_uri
    digest = PurePosixPath(uri).parent.name
    found = store.read(f"datasets/{digest}/dataset.json") if uri.startswith(store.uri("")) else None
    if found is None:
        raise IntegrityError(
            f"dataset {uri or 'of the version'} is not in this store, but new data are held against it: restore it, "
            "or retrain"
        )
    data = DatasetManifest.model_validate_json(found.content)
    return Dataset(uri=uri, sha256=digest, task=data.schema_.task, kind=data.schema_.kind, rows=data.rows)
