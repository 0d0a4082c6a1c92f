"""Ingest: from a source to a content-addressed dataset of three splits."""

import tempfile
from pathlib import Path

from tasks.contracts.artifacts import Dataset, Run
from tasks.contracts.config import IngestConfig
from tasks.step import step

SPLIT_SEED = 0
"""Splits do not follow the run's seed: a champion is re-scored on rows that it never trained on."""


@step(name="ingest")
def ingest(config: IngestConfig, run: Run) -> Dataset:
    """Read, validate, split, profile and store the data.

    Raises:
        DataError: The source is missing, broken, or cannot be learned from.
    """
    from tasks.datasets.build import build_dataset
    from tasks.stores import tracking
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
        dataset = put_dataset(store, built)
    tracking.log_dataset(
        run.mlflow_run_id,
        name=run.model_name,
        digest=dataset.sha256,
        source=config.source,
        schema=built.schema,
        rows=built.rows,
    )
    tracking.set_tags(run.mlflow_run_id, {"data.digest": dataset.sha256, "data.uri": dataset.uri})
    if built.warnings:
        tracking.log_text(run.mlflow_run_id, "\n".join(built.warnings) + "\n", "data_warnings.txt")
    return dataset
