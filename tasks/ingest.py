"""Ingest: from a source to a content-addressed dataset of three splits."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from tasks.contracts.artifacts import Run
from tasks.contracts.config import IngestConfig
from tasks.contracts.contract import Contract
from tasks.contracts.dataset import Dataset
from tasks.recall import Recall
from tasks.step import step

SPLIT_SEED = 0
"""Splits do not follow the run's seed: a champion is re-scored on rows that it never trained on."""


def _source_parts(config: IngestConfig, run: Run, contract: Contract | None) -> Mapping[str, str] | None:
    """The content of the source, as a part of the key; None if it must be read to know."""
    from tasks.stores.fingerprints import fingerprint
    from tasks.stores.results import latest_result
    from tasks.stores.s3 import Store

    store = Store.from_environment(run.bucket, run.prefix)
    source = fingerprint(store, config.source)
    if not source:
        return None
    last = latest_result(store, run.model_name, "ingest")
    if contract and last and last.parts.get("source") == source and last.value["uri"] == contract.dataset_uri:
        return {"source": source, "contract": last.parts["contract"]}  # rows keep the contract that they made
    return {"source": source}


def _tell(dataset: Dataset, config: IngestConfig, run: Run, contract: Contract | None) -> None:
    from tasks.exporters.data_report import tell

    tell(dataset, config, run, contract)


@step(name="ingest", recall=Recall(also=_source_parts, tell=_tell))
def ingest(config: IngestConfig, run: Run, contract: Contract | None = None) -> Dataset:
    """Read, validate, split, profile and store the data.

    Args:
        config: The form.
        run: Which retraining this is.
        contract: The schema of the champion, which the rows must keep.

    Raises:
        DataError: The source is missing, broken, cannot be learned from, or breaks the contract.
    """
    from tasks.datasets.build import build_dataset
    from tasks.datasets.guard import terms_of
    from tasks.stores.datasets import put_dataset
    from tasks.stores.s3 import Store
    from tasks.stores.sources import local_source

    store = Store.from_environment(run.bucket, run.prefix)
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        source = local_source(store, config.source, Path(folder) / "source", config.max_bytes)
        built = build_dataset(
            source,
            Path(folder) / "splits",
            seed=SPLIT_SEED,
            terms=terms_of(contract, config),
            **config.model_dump(exclude={"source", "max_bytes", "contract", "max_quarantine_share"}),
        )
        return put_dataset(store, built)
