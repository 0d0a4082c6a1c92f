"""Ingest: from a source to a content-addressed dataset of three splits."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from tasks.contracts.artifacts import Dataset, Run
from tasks.contracts.config import IngestConfig
from tasks.recall import Recall
from tasks.step import step

SPLIT_SEED = 0
"""Splits do not follow the run's seed: a champion is re-scored on rows that it never trained on."""


def _source_parts(config: IngestConfig, run: Run, **_: object) -> Mapping[str, str] | None:
    """The content of the source, as a part of the key; None if it must be read to know."""
    from tasks.stores.fingerprints import fingerprint
    from tasks.stores.s3 import Store

    found = fingerprint(Store.from_environment(run.bucket, run.prefix), config.source)
    return {"source": found} if found else None


def _tell(dataset: Dataset, config: IngestConfig, run: Run, **_: object) -> None:
    """Say in MLflow which data these are, and what is odd about them."""
    from tasks.stores import tracking
    from tasks.stores.datasets import manifest_of
    from tasks.stores.s3 import Store

    if not run.mlflow_run_id:
        return
    manifest = manifest_of(Store.from_environment(run.bucket, run.prefix), dataset)
    tracking.log_dataset(
        run.mlflow_run_id,
        name=run.model_name,
        digest=dataset.sha256,
        source=config.source,
        schema=manifest.schema_,
        rows=dataset.rows,
    )
    tracking.set_tags(run.mlflow_run_id, {"data.digest": dataset.sha256, "data.uri": dataset.uri})
    if manifest.warnings:
        tracking.log_text(run.mlflow_run_id, "\n".join(manifest.warnings) + "\n", "data_warnings.txt")


@step(name="ingest", recall=Recall(also=_source_parts, tell=_tell))
def ingest(config: IngestConfig, run: Run) -> Dataset:
    """Read, validate, split, profile and store the data.

    Raises:
        DataError: The source is missing, broken, or cannot be learned from.
    """
    from tasks.datasets.build import build_dataset
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
            **config.model_dump(exclude={"source", "max_bytes"}),
        )
        return put_dataset(store, built)
