"""Datasets in the store: content-addressed splits under `blobs/`, and `datasets/<digest>/dataset.json` written last."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from tasks.contracts.dataset import Dataset, DatasetManifest, Quarantine, Split
from tasks.contracts.errors import IntegrityError
from tasks.contracts.record import sha256_hex
from tasks.datasets.build import BuiltDataset
from tasks.datasets.guard import Held
from tasks.datasets.preprocessing import build_preprocessor, encode
from tasks.datasets.reader import Rows, read_split
from tasks.stores.s3 import Store

FORMAT_SPLIT = "{split}.parquet"


def put_dataset(store: Store, built: BuiltDataset) -> Dataset:
    """Store the splits, then the manifest that names them; the same content lands at the same address."""
    manifest = DatasetManifest(
        schema_=built.schema,
        encoding=built.encoding,
        profile=built.profile,
        splits={split: store.put_file(path) for split, path in built.files.items()},
        rows=built.rows,
        warnings=built.warnings,
        categories=built.categories,
        quarantine=_stored(store, built.held),
        gaps=built.gaps,
    )
    key = f"datasets/{manifest.digest}/dataset.json"
    store.keep(key, manifest.to_bytes())
    return Dataset(
        uri=store.uri(key),
        sha256=manifest.digest,
        task=manifest.schema_.task,
        kind=manifest.schema_.kind,
        rows=manifest.rows,
    )


def _stored(store: Store, held: Held | None) -> Quarantine | None:
    if held is None:
        return None
    return Quarantine(file=store.put_file(held.path), rows=held.rows, read=held.read, breaks=held.breaks)


@dataclass(frozen=True)
class OpenDataset:
    """A dataset whose splits are fetched into `folder` as they are asked for."""

    store: Store
    manifest: DatasetManifest
    folder: Path

    def path(self, split: Split) -> Path:
        """The file of a split."""
        path = self.folder / FORMAT_SPLIT.format(split=split)
        if not path.exists():
            self.store.fetch(self.manifest.splits[split], path)
        return path

    def rows(self, split: Split) -> Rows:
        """The raw rows of a split."""
        return read_split(self.path(split), self.manifest.schema_)

    @cached_property
    def preprocessor(self) -> onnx.ModelProto:
        """The graph that encodes raw rows."""
        return build_preprocessor(self.manifest.schema_, self.manifest.encoding)

    def sample(self, split: Split, most: int, seed: int) -> npt.NDArray[np.generic]:
        """At most `most` encoded rows of a split, drawn without replacement."""
        rows = self.rows(split)
        chosen = np.random.default_rng(seed).permutation(len(rows))[:most]
        return encode(self.preprocessor, rows.take(np.sort(chosen)).inputs)

    def arrays(self, split: Split) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
        """Encoded inputs, and class indices (int64) or standardised values (float32)."""
        rows = self.rows(split)
        return encode(self.preprocessor, rows.inputs), self._targets(rows)

    def _targets(self, rows: Rows) -> npt.NDArray[np.generic]:
        scale = self.manifest.encoding.target
        if scale is None:
            return rows.target.astype(np.int64)
        return ((rows.target - scale.mean) / scale.scale).astype(np.float32)


def manifest_of(store: Store, dataset: Dataset) -> DatasetManifest:
    """What is known of a dataset, whichever version of this program wrote it down.

    Raises:
        IntegrityError: It is gone, or is not the one its address names.
    """
    found = store.read(f"datasets/{dataset.sha256}/dataset.json")
    if found is None:
        raise IntegrityError(f"dataset {dataset.uri} is gone from the store: run ingest again")
    # Of the bytes, not of the record: one that was written before a field was added has the digest that it had then.
    digest = sha256_hex(found.content)
    if digest != dataset.sha256:
        raise IntegrityError(f"dataset {dataset.uri} has digest {digest}: it was changed after it was written")
    return DatasetManifest.model_validate_json(found.content)


@contextmanager
def opened(store: Store, dataset: Dataset) -> Iterator[OpenDataset]:
    """Open a dataset in a temporary folder.

    Raises:
        IntegrityError: The manifest is gone, or is not the one its address names.
    """
    manifest = manifest_of(store, dataset)
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        yield OpenDataset(store, manifest, Path(folder))
