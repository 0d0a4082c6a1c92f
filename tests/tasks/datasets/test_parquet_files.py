from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.datasets import parquet_files
from tasks.datasets.build import build_dataset
from tasks.datasets.reader import read_split

COLUMNS = {"a": list(range(60)), "b": [float(i) for i in range(60)], "label": [0, 1] * 30}


def written(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_refuses_a_cut_file(tmp_path: Path, refusal: Callable[..., str]) -> None:
    path = written(tmp_path / "data.parquet", **COLUMNS)
    path.write_bytes(path.read_bytes()[:-20])
    assert "data.parquet is no whole Parquet file" in refusal(path)


def test_refuses_a_damaged_page(tmp_path: Path, refusal: Callable[..., str]) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table(COLUMNS), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)
    path.write_bytes(content)
    assert "data.parquet is no whole Parquet file" in refusal(path)


def test_refuses_strings_that_are_not_utf8(tmp_path: Path, refusal: Callable[..., str]) -> None:
    path = tmp_path / "data.parquet"
    table = pa.table({"word": ["caf\u00e9"] * 60, **COLUMNS})
    pq.write_table(table, path, compression="none", use_dictionary=False)
    path.write_bytes(path.read_bytes().replace("\u00e9".encode(), b"\xe9x"))
    assert "data.parquet is no whole Parquet file (Invalid UTF8" in refusal(path)


def test_refuses_what_is_no_parquet(tmp_path: Path, refusal: Callable[..., str]) -> None:
    (tmp_path / "data.parquet").write_bytes(b"hello world")
    assert "data.parquet is no whole Parquet file" in refusal(tmp_path / "data.parquet")


def test_refuses_a_file_without_rows(tmp_path: Path, refusal: Callable[..., str]) -> None:
    path = written(tmp_path / "data.parquet", a=pa.array([], pa.int64()))
    assert "data.parquet holds columns but no rows, but must hold both" in refusal(path)


@pytest.mark.parametrize("cells", [[[1]] * 60, [{"x": 1}] * 60, [b"bytes"] * 60], ids=["lists", "structs", "bytes"])
def test_refuses_nested_columns_unless_excluded(cells: Any, tmp_path: Path, refusal: Callable[..., str]) -> None:
    path = written(tmp_path / "data.parquet", c=cells, **COLUMNS)
    assert "feature 'c' holds" in refusal(path) and "exclude it, or flatten it" in refusal(path)
    assert build_dataset(path, tmp_path / "out", exclude=("c",)).schema.features[0].name == "a"


def test_every_kind_of_number_and_string_arrives(tmp_path: Path) -> None:
    rows = 60
    columns = {
        "u8": pa.array(range(rows), pa.uint8()),
        "f16": pa.array(np.arange(rows, dtype=np.float16)),
        "f32": pa.array(range(rows), pa.float32()),
        "decimal": pa.array([Decimal(i) for i in range(rows)]),
        "flag": pa.array([i % 2 == 0 for i in range(rows)]),
        "dictionary": pa.array(["x", "ÿ"] * (rows // 2)).dictionary_encode(),
        "large": pa.array(["x", "y", "z"] * (rows // 3), pa.large_string()),
        "label": pa.array([0, 1, 2] * (rows // 3), pa.int8()),
    }
    built = build_dataset(written(tmp_path / "data.parquet", **columns), tmp_path / "out")
    kinds = {feature.name: feature.kind for feature in built.schema.features}
    assert kinds == dict.fromkeys(["u8", "f16", "f32", "decimal", "flag"], "number") | {
        "dictionary": "category",
        "large": "category",
    }
    train = read_split(built.files["train"], built.schema)
    picked = train.inputs["u8"].astype(int)
    for name in ("f16", "f32", "decimal"):
        assert train.inputs[name].tolist() == picked.tolist()
    assert train.inputs["flag"].tolist() == [float(i % 2 == 0) for i in picked]
    assert train.inputs["dictionary"].tolist() == ["xÿ"[i % 2] for i in picked]
    assert train.target.tolist() == [i % 3 for i in picked]


def test_times_are_kept_out_of_features_but_may_order_the_rows(tmp_path: Path, refusal: Callable[..., str]) -> None:
    days = [date.fromordinal(739000 + i) for i in range(60)]
    path = written(tmp_path / "data.parquet", day=days, **COLUMNS)
    message = refusal(path)
    assert "feature 'day' holds times (date32[day]), but must hold numbers or words: exclude it" in message
    assert "convert it to a number" in message
    built = build_dataset(path, tmp_path / "out", split_by="time", time_column="day")
    assert [feature.name for feature in built.schema.features] == ["a", "b"]


def test_large_row_groups_come_in_small_batches(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pd.DataFrame({"a": np.arange(200_000), "label": np.arange(200_000) % 3}).to_parquet(path, row_group_size=200_000)
    schema = parquet_files.infer(path)
    assert max(batch.num_rows for batch in parquet_files.read(path, schema, ["a"])) == 65_536


def test_a_folder_of_files_is_one_table(tmp_path: Path) -> None:
    root = tmp_path / "parts"
    root.mkdir()
    written(root / "part-0.parquet", **COLUMNS)
    written(root / "part-1.parquet", label=[0.0, 1.0] * 30, a=list(range(60)), b=[0] * 60)
    built = build_dataset(root, tmp_path / "out")
    assert sum(built.rows.values()) == 120 and built.schema.labels == (0, 1)
