from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.contracts.errors import DataError
from tasks.contracts.schema import Feature, Schema
from tasks.contracts.signature import signature_of
from tasks.datasets.build import build_dataset
from tasks.datasets.reader import read_split


def built_from(frame: pd.DataFrame, folder: Path, **choices: str):
    frame.to_csv(folder / "d.csv", index=False)
    return build_dataset(folder / "d.csv", folder / "out", **choices)  # type: ignore[arg-type]


def test_numbers_alone_are_one_matrix_with_nan_for_missing(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.5, None] * 50, "b": range(100), "label": [3, 5] * 50})
    built = built_from(frame, tmp_path, missing="mean")
    rows = read_split(built.files["train"], built.schema)
    assert list(rows.inputs) == [tensor.name for tensor in signature_of(built.schema).inputs] == ["features"]
    assert rows.inputs["features"].dtype == np.float32 and rows.inputs["features"].shape == (len(rows), 2)
    assert (np.isnan(rows.inputs["features"][:, 0]) == (rows.target == 1)).all()
    assert rows.target.dtype == np.int64 and set(rows.target) == {0, 1}


def test_mixed_columns_are_tensors_of_their_own(tmp_path: Path) -> None:
    frame = pd.DataFrame({"w": ["å", None] * 50, "b": range(100), "y": np.arange(100) / 3})
    built = built_from(frame, tmp_path, missing="mean")
    rows = read_split(built.files["test"], built.schema)
    assert set(rows.inputs) == {"w", "b"}
    assert rows.inputs["w"].dtype == object and set(rows.inputs["w"]) == {"å", ""}
    assert rows.inputs["b"].dtype == np.float32 and rows.target.dtype == np.float64
    np.testing.assert_allclose(rows.target, rows.inputs["b"] / 3, rtol=1e-6)


def test_rows_are_taken_by_place(tmp_path: Path) -> None:
    built = built_from(pd.DataFrame({"a": range(100), "w": ["x", "y"] * 50, "label": [0, 1] * 50}), tmp_path)
    rows = read_split(built.files["train"], built.schema)
    some = rows.take([3, 0, 3])
    assert len(some) == 3 and len(rows) == built.rows["train"]
    for name, values in rows.inputs.items():
        assert some.inputs[name].tolist() == values[[3, 0, 3]].tolist()
    assert some.target.tolist() == rows.target[[3, 0, 3]].tolist()


def test_refuses_files_of_another_schema(tmp_path: Path) -> None:
    built = built_from(pd.DataFrame({"a": range(100), "label": [0, 1] * 50}), tmp_path)
    other = Schema(task="regression", features=(Feature(name="b", kind="number"),), target="label")
    with pytest.raises(DataError, match="train.parquet is no split file of this schema .*: ingest the data again"):
        read_split(built.files["train"], other)
    (tmp_path / "train.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match="train.parquet is no split file of this schema"):
        read_split(tmp_path / "train.parquet", built.schema)


def test_refuses_labels_that_the_schema_does_not_know(tmp_path: Path) -> None:
    built = built_from(pd.DataFrame({"a": range(100), "label": ["no", "yes"] * 50}), tmp_path)
    fewer = built.schema.model_copy(update={"labels": ("no", "maybe")})
    with pytest.raises(
        DataError, match=r"target holds 'yes', but must be one of \['no', 'maybe'\]: ingest the data again"
    ):
        read_split(built.files["train"], fewer)
