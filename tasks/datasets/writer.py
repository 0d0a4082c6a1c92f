"""Three Parquet files of raw rows: the same rows give the same bytes, however they arrive in batches.

Row groups are cut by count alone, and no file holds a time or a path. Files get their names when all are whole.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts.dataset import Split
from tasks.contracts.errors import IngotError
from tasks.datasets.column_types import is_words
from tasks.datasets.source import batch_rows, row_bytes
from tasks.datasets.splits import SIDES


class SplitWriter:
    """Writes `train.parquet`, `validation.parquet` and `test.parquet` into a folder; leaves nothing if it fails."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        """Opens the three files under names that begin with a dot."""
        folder.mkdir(parents=True, exist_ok=True)
        self.files: dict[Split, Path] = {side: folder / f"{side}.parquet" for side in SIDES}
        self.rows: dict[Split, int] = dict.fromkeys(SIDES, 0)
        self._partial = {side: folder / f".{side}.parquet.partial" for side in SIDES}
        self._behind = ThreadPoolExecutor(1)
        self._files = {side: _RowGroups(path, schema, self._behind) for side, path in self._partial.items()}

    def write(self, batch: pa.RecordBatch, sides: np.ndarray) -> None:
        """Adds each row to its side: 0 train, 1 validation, 2 test."""
        for code, side in enumerate(SIDES):
            chosen = np.flatnonzero(sides == code)
            if len(chosen):
                self._files[side].add(batch if len(chosen) == batch.num_rows else batch.take(pa.array(chosen)))
                self.rows[side] += len(chosen)

    def read(self, side: Split, each: Callable[[pa.RecordBatch], None]) -> None:
        """Shows every batch of a finished side."""
        with pq.ParquetFile(self._partial[side], buffer_size=1 << 20, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_rows(row_bytes(file.schema_arrow))):
                each(batch)

    def finish(self) -> None:
        """Writes what is left; the files are whole, but still under their partial names."""
        for file in self._files.values():
            file.close()

    def keep(self) -> None:
        """Gives the files their names."""
        for side, path in self._partial.items():
            path.replace(self.files[side])

    def __enter__(self) -> "SplitWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for file in self._files.values():
            file.abandon()
        self._behind.shutdown()
        for path in self._partial.values():
            path.unlink(missing_ok=True)


class _RowGroups:
    """One file. A thread packs one group while the next is gathered, which takes a quarter off a pass over CSV."""

    def __init__(self, path: Path, schema: pa.Schema, behind: Executor) -> None:
        words = [field.name for field in schema if is_words(field.type)]
        # Numbers are plain: trying a dictionary first doubles the time and saves nothing on measured values.
        self._writer = pq.ParquetWriter(path, schema, version="2.6", compression="snappy", use_dictionary=words)
        self._path = path
        self._group = batch_rows(row_bytes(schema))
        self._waiting: list[pa.RecordBatch] = []
        self._count = 0
        self._behind = behind
        self._packing: Future[None] | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._count += batch.num_rows
        if self._count >= self._group:
            self._flush(self._count - self._count % self._group)

    def close(self) -> None:
        if self._count:
            self._flush(self._count)
        self._wait()
        self._writer.close()

    def abandon(self) -> None:
        with suppress(OSError, IngotError):
            self._wait()
            self._writer.close()

    def _flush(self, rows: int) -> None:
        table = pa.Table.from_batches(self._waiting)
        self._wait()
        self._packing = self._behind.submit(self._writer.write_table, table.slice(0, rows), self._group)
        self._waiting = table.slice(rows).to_batches()
        self._count -= rows

    def _wait(self) -> None:
        packing, self._packing = self._packing, None
        if packing:
            try:
                packing.result()
            except OSError as error:
                raise IngotError(
                    f"{self._path.parent} cannot be written ({error.strerror or error}), but must hold the splits: "
                    "make room, or set TMPDIR to another disk"
                ) from error
