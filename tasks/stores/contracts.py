"""What the champion of a model demands of the data of its next run."""

from pathlib import PurePosixPath

from tasks.contracts.artifacts import Run
from tasks.contracts.config import IngestConfig
from tasks.contracts.contract import Contract, Span
from tasks.contracts.dataset import Dataset, DatasetManifest
from tasks.contracts.errors import InputError
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store


def contract_of(config: IngestConfig, run: Run) -> Contract | None:
    """The contract of the present champion; None if there is no champion, it knows no data, or the form ignores it.

    Raises:
        InputError: The champion's dataset is not in this store.
        IntegrityError: The journal or the dataset is broken.
    """
    from tasks.stores.datasets import manifest_of

    if config.contract == "ignore":
        return None
    store = Store.from_environment(run.bucket, run.prefix)
    journal = Journal(store, run.model_name)
    champion = journal.champion()
    if champion is None:
        return None
    uri = journal.get_manifest(champion.manifest).lineage.dataset_uri
    if not uri:
        return None
    digest = PurePosixPath(uri).parent.name
    if store.look(f"datasets/{digest}/dataset.json") is None:
        raise InputError(
            f"dataset {uri} of version {champion.version} is not in this store, but holds its "
            "contract: restore it, or set ingest.contract to ignore"
        )
    found = Dataset(uri=uri, sha256=digest, task="classification", kind="tabular", rows={})
    return contract_from(manifest_of(store, found), champion.version, uri)


def contract_from(manifest: DatasetManifest, version: str = "", dataset_uri: str = "") -> Contract:
    """What a dataset's manifest demands of the next one, whichever version of this program wrote it down."""
    return Contract(
        schema_=manifest.schema_,
        categories=manifest.categories,
        spans=tuple(
            Span(column=column.name, low=column.edges[0], high=column.edges[-1])
            for column in manifest.profile.columns
            if column.edges
        ),
        version=version,
        dataset_uri=dataset_uri,
    )
