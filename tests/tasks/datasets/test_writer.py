from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.errors import IngotError
from tasks.datasets.writer import SplitWriter, _RowGroups

SCHEMA = pa.schema([("a", pa.int64()), ("w", pa.string())])


def batch(start: int, count: int) -> pa.RecordBatch:
    return pa.record_batch([range(start, start + count), [f"w{i % 3}" for i in range(count)]], schema=SCHEMA)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_the_bytes_do_not_depend_on_the_batches(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    folder = tmp_path_factory.mktemp("writer")
    total = pa.Table.from_batches([batch(0, sum(sizes))])
    contents = []
    for name, tables in (("whole", [total]), ("cut", [total.slice(sum(sizes[:i]), n) for i, n in enumerate(sizes)])):
        with SplitWriter(folder / name, SCHEMA) as writer:
            for table in tables:
                rows = table.combine_chunks().to_batches()[0]
                writer.write(rows, rows.column("a").to_numpy() % 3)
            writer.finish()
            writer.keep()
        contents.append({side: path.read_bytes() for side, path in writer.files.items()})
        assert sum(writer.rows.values()) == sum(sizes)
    assert contents[0] == contents[1]


def test_nothing_has_its_name_before_all_is_kept(tmp_path: Path) -> None:
    with SplitWriter(tmp_path, SCHEMA) as writer:
        writer.write(batch(0, 9), np.zeros(9))
        writer.finish()
        assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
        writer.keep()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.parquet", "train.parquet", "validation.parquet"]
    assert pq.read_table(tmp_path / "train.parquet")["a"].to_pylist() == list(range(9))


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), SplitWriter(tmp_path, SCHEMA) as writer:
        writer.write(batch(0, 9), np.zeros(9))
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


class FullDisk(Executor):
    """Answers every job as a full disk would."""

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        job: Future[Any] = Future()
        job.set_exception(OSError(28, "No space left on device"))
        return job


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    file = _RowGroups(tmp_path / "train.parquet", SCHEMA, FullDisk())
    file.add(batch(0, 9))
    with pytest.raises(
        IngotError, match="cannot be written .No space left on device., but must hold the splits: make room"
    ):
        file.close()
    file.abandon()
