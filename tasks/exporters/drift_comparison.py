"""A champion, what it learned from, and new rows: read, answered and judged.

Columns are compared with the training split; answers, and how much training never saw, with the rows that were held
out: what a network has learned by heart it answers otherwise than anything new, and no training row is new to it.
"""

import tempfile
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from tasks.contracts.config import DriftConfig
from tasks.contracts.dataset import Split
from tasks.contracts.drift import DriftReport
from tasks.contracts.errors import DataError
from tasks.contracts.manifest import Manifest
from tasks.datasets.drift.batch import Batch
from tasks.datasets.drift.readings import Answer, Readings, Sample, answers_read, columns_read, draw
from tasks.datasets.drift.sampled import Sampled
from tasks.datasets.drift.series import check_enough, paired
from tasks.datasets.drift.source import split_batches, with_source
from tasks.runtime import drift
from tasks.runtime.session import load
from tasks.runtime.slices import run_in_slices
from tasks.stores.datasets import OpenDataset, opened
from tasks.stores.reference import champion_of, dataset_of
from tasks.stores.s3 import Store
from tasks.stores.sources import local_source

HELD_OUT: tuple[Split, ...] = ("validation", "test")


class _Read(NamedTuple):
    """One side, and how many rows it had."""

    readings: Readings
    rows: int
    notes: tuple[str, ...] = ()


def compare_with_champion(store: Store, config: DriftConfig, until: str) -> DriftReport:
    """What drifted between the champion's training data and new rows.

    Args:
        store: Where champion and samples lie.
        config: What is compared, and what counts as drift.
        until: The moment up to which the server's samples are taken: ISO 8601 with its zone.

    Raises:
        InputError: There is no champion, or the new data cannot be judged.
        IntegrityError: The champion's dataset or graph is gone, or is not what its digest says.
    """
    entry, manifest = champion_of(store, config.model_name)
    with opened(store, dataset_of(store, manifest)) as data:
        answer = _answer(store, manifest)
        now = _new(store, data, config, answer, until)
        check_enough(now.readings, now.rows, data.manifest.schema_, config)
        trained, held_out = _reference(data, config, answer)
        columns = drift.compare(paired(trained.readings, held_out.readings, now.readings, data.manifest), config)
    return DriftReport(
        model=config.model_name,
        version=entry.version,
        manifest_sha256=entry.manifest,
        source=config.source or f"the server's samples of the {config.since_hours:g} hours before {until[:16]}",
        rows=now.rows,
        compared_rows=min(now.rows, config.most_rows),
        reference_rows=min(trained.rows, config.most_rows),
        columns=columns,
        reason=drift.reason(columns),
        notes=now.notes,
    )


def _answer(store: Store, manifest: Manifest) -> Answer:
    return partial(run_in_slices, load(store.get_bytes(manifest.graph)))


def _reference(data: OpenDataset, config: DriftConfig, answer: Answer) -> tuple[_Read, _Read]:
    """The training split, and what was held out of it, which is answered as well."""
    schema = data.manifest.schema_
    sample = Sample(config.most_rows)
    columns = draw(split_batches(data.path("train"), schema), sample, lambda batch: columns_read(batch, schema))
    held_out = chain.from_iterable(split_batches(data.path(split), schema) for split in HELD_OUT)
    return _Read(columns, sample.seen), _whole(held_out, Sample(config.most_rows), data, answer)


def _whole(batches: Iterable[Batch], sample: Sample, data: OpenDataset, answer: Answer) -> _Read:
    """Columns and answers."""
    schema, encoding = data.manifest.schema_, data.manifest.encoding
    found = draw(
        batches, sample, lambda batch: columns_read(batch, schema) | answers_read(batch, schema, encoding, answer)
    )
    return _Read(found, sample.seen)


def _new(store: Store, data: OpenDataset, config: DriftConfig, answer: Answer, until: str) -> _Read:
    schema = data.manifest.schema_

    def read(batches: Iterable[Batch]) -> _Read:
        return _whole(batches, Sample(config.most_rows, seed=1), data, answer)

    if config.source:
        with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
            path = local_source(store, config.source, Path(folder) / "source", config.max_bytes, field="source")
            return with_source(path, schema, config.format, config.max_bytes, read)
    end = datetime.fromisoformat(until)
    sampled = Sampled(config.model_name, schema, end - timedelta(hours=config.since_hours), end)
    found = read(sampled.batches(store.keys, partial(_content, store)))
    if not found.rows:
        left_out = f" ({sampled.left_out} do not fit the champion)" if sampled.left_out else ""
        raise DataError(
            f"the server has kept no rows of {config.model_name!r} in the last {config.since_hours:g} hours{left_out}, "
            "but some are needed: set INGOT_SAMPLE_SHARE, look further back, or name a source"
        )
    note = f"{sampled.left_out} sampled rows do not fit the champion's columns and were left out"
    return found._replace(notes=(note,) if sampled.left_out else ())


def _content(store: Store, key: str) -> bytes | None:
    found = store.read(key)
    return None if found is None else found.content
