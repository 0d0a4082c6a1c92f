"""Parquet, a batch at a time, without reading a whole row group ahead."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts.errors import DataError
from tasks.datasets.source import batch_rows, first_line, row_bytes


def infer(path: Path) -> pa.Schema:
    """The columns, from the footer."""
    with _opened(path) as file:
        if not file.metadata.num_rows:
            raise DataError(f"{path.name} holds columns but no rows, but must hold both: choose another source")
        return file.schema_arrow


def read(path: Path, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The named columns as the schema's types."""
    wanted = pa.schema([schema.field(name) for name in columns])
    with _opened(path) as file:
        for batch in file.iter_batches(batch_rows(row_bytes(wanted)), columns=list(columns)):
            cells = batch.select(columns).cast(wanted, safe=False)
            for column in cells.columns:
                if pa.types.is_string(column.type):
                    column.validate(full=True)  # a file may call any bytes UTF-8
            yield cells


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        # A buffer and no pre-buffering: else a whole row group, which may be gigabytes, is fetched ahead.
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            yield file
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError, OSError) as error:
        raise DataError(
            f"{path.name} is no whole Parquet file ({first_line(error)}), but must be: write or copy it again"
        ) from error
