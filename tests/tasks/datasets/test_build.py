import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.errors import InputError
from tasks.contracts.record import canonical_json
from tasks.datasets import source
from tasks.datasets.build import BuiltDataset, build_dataset
from tasks.datasets.preprocessing import build_preprocessor, encode, encoded_shape
from tasks.datasets.reader import read_split

SAMPLES = Path(__file__).parents[3] / "data"
HOUSING = Path(__file__).parents[4] / "shared" / "data" / "housing" / "housing.csv"


def digests(built: BuiltDataset) -> dict[str, str]:
    return {side: hashlib.sha256(path.read_bytes()).hexdigest() for side, path in built.files.items()}


def frame(rows: int = 500) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "x": random.normal(size=rows),
            "word": random.choice(["red", "gr\u00fcn", "blue"], rows),
            "label": random.choice(["no", "yes"], rows),
        }
    )


def rows_of(built: BuiltDataset, side: str) -> pd.DataFrame:
    return pq.read_table(built.files[side]).to_pandas()  # type: ignore[index]


@pytest.mark.parametrize("split_by", ["random", "hash"])
def test_the_same_choices_give_the_same_bytes(split_by: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame().to_csv(tmp_path / "d.csv", index=False)
    first = build_dataset(tmp_path / "d.csv", tmp_path / "one", split_by=split_by, seed=3)
    os.utime(tmp_path / "d.csv", (0, 0))
    second = build_dataset(tmp_path / "d.csv", tmp_path / "other", split_by=split_by, seed=3)
    assert digests(first) == digests(second)
    assert (first.schema, first.encoding, first.profile, first.rows) == (
        second.schema, second.encoding, second.profile, second.rows,
    )  # fmt: skip
    assert str(tmp_path).encode() not in first.files["train"].read_bytes()


def test_no_row_is_lost_and_none_is_changed(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "d.csv", index=False)
    built = build_dataset(tmp_path / "d.csv", tmp_path / "out")
    together = pd.concat([rows_of(built, side) for side in ("train", "validation", "test")])
    pd.testing.assert_frame_equal(
        together.sort_values("id", ignore_index=True), frame(), check_dtype=False, check_exact=False, rtol=1e-15
    )
    assert built.rows == {side: len(rows_of(built, side)) for side in built.files}
    assert abs(built.rows["test"] - 75) <= 16 and abs(built.rows["validation"] - 75) <= 16


def test_formats_agree_to_the_byte(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "d.csv", index=False)
    frame().to_parquet(tmp_path / "d.parquet")
    frame().to_json(tmp_path / "d.jsonl", orient="records", lines=True, double_precision=15)
    csv, parquet = (build_dataset(tmp_path / name, tmp_path / name[2:]) for name in ("d.csv", "d.parquet"))
    assert digests(csv) == digests(parquet)
    assert build_dataset(tmp_path / "d.jsonl", tmp_path / "jsonl").schema == csv.schema


def test_the_seed_moves_random_splits(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "d.csv", index=False)
    one, other = (build_dataset(tmp_path / "d.csv", tmp_path / str(seed), seed=seed) for seed in (0, 1))
    assert digests(one) != digests(other)


@settings(max_examples=15)
@given(st.integers(1, 400), st.randoms(use_true_random=False))
def test_under_hash_a_row_keeps_its_side_when_data_are_appended(
    tmp_path_factory: pytest.TempPathFactory, more: int, random: Any
) -> None:
    folder = tmp_path_factory.mktemp("hash")
    old = frame(300)
    new = pd.DataFrame(
        {"id": [1000.5] * more, "x": [random.random() for _ in range(more)], "word": "new", "label": "no"}
    )
    old.to_csv(folder / "old.csv", index=False)
    shuffled = pd.concat([new, old]).sample(frac=1, random_state=random.randint(0, 999))
    shuffled.to_csv(folder / "new.csv", index=False)
    before, after = (
        build_dataset(folder / f"{n}.csv", folder / n, split_by="hash", seed=i) for i, n in enumerate(["old", "new"])
    )
    for side in before.files:
        assert set(rows_of(before, side)["x"]) <= set(rows_of(after, side)["x"])


def test_under_hash_duplicates_never_straddle(tmp_path: Path) -> None:
    pd.concat([frame(), frame()]).to_csv(tmp_path / "d.csv", index=False)
    built = build_dataset(tmp_path / "d.csv", tmp_path / "out", split_by="hash")
    assert "500 rows repeat an earlier row" in built.warnings
    assert not any("also stand in train" in warning for warning in built.warnings)
    random = build_dataset(tmp_path / "d.csv", tmp_path / "out", split_by="random")
    assert any("of the test split also stand in train" in warning for warning in random.warnings)


@pytest.mark.parametrize("column", ["2026-11-{:02}", "2026-11-{:02}T12:00:00", "{}", "{}.25"])
def test_under_time_the_latest_are_tested(column: str, tmp_path: Path) -> None:
    data = frame(280).assign(t=[column.format(i % 28 + 1) for i in range(280)])
    data.to_csv(tmp_path / "d.csv", index=False)
    built = build_dataset(tmp_path / "d.csv", tmp_path / "out", split_by="time", time_column="t")
    assert "t" not in [feature.name for feature in built.schema.features]
    times = {side: [i % 28 for i in rows_of(built, side)["id"]] for side in built.files}
    assert max(times["train"]) < min(times["validation"]) and max(times["validation"]) < min(times["test"])


def test_words_in_a_json_time_column_are_read_as_times(tmp_path: Path) -> None:
    rows = [{"t": f"2026-11-{i % 28 + 1:02}T00:00:00", "x": i, "label": i % 2} for i in range(280)]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    built = build_dataset(tmp_path / "d.jsonl", tmp_path / "out", split_by="time", time_column="t")
    assert min(int(x) % 28 for x in rows_of(built, "test")["x"]) > max(
        int(x) % 28 for x in rows_of(built, "train")["x"]
    )


def test_a_split_column_is_obeyed(tmp_path: Path) -> None:
    data = frame(300).assign(split=lambda d: np.where(d["id"] % 3 == 0, "Test", "train"))
    data.to_csv(tmp_path / "d.csv", index=False)
    built = build_dataset(tmp_path / "d.csv", tmp_path / "out", split_by="given")
    assert set(rows_of(built, "test")["id"]) == set(range(0, 300, 3))
    assert 0 < built.rows["validation"] < 60 and "split" not in rows_of(built, "train")
    data["split"] = np.where(data["id"] % 7 == 1, "dev", data["split"])
    data.to_csv(tmp_path / "d.csv", index=False)
    built = build_dataset(tmp_path / "d.csv", tmp_path / "out", split_by="given")
    assert set(rows_of(built, "validation")["id"]) == set(range(1, 300, 7))


def test_memory_does_not_follow_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame().to_csv(tmp_path / "d.csv", index=False)
    whole = build_dataset(tmp_path / "d.csv", tmp_path / "whole")
    monkeypatch.setattr("tasks.datasets.csv_files.BATCH_BYTES", 1000)
    monkeypatch.setattr("tasks.datasets.csv_files.BATCH_ROWS", 7)
    cut = build_dataset(tmp_path / "d.csv", tmp_path / "cut")
    assert digests(whole) == digests(cut)
    assert whole.encoding == cut.encoding and whole.profile == cut.profile


def test_row_groups_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BATCH_BYTES", 100_000)
    frame().to_csv(tmp_path / "d.csv", index=False)
    built = build_dataset(tmp_path / "d.csv", tmp_path / "out")
    groups = pq.read_metadata(built.files["train"])
    assert groups.num_row_groups > 5 and groups.row_group(0).num_rows == 48


def test_a_failed_rebuild_leaves_the_former_splits(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "d.csv", index=False)
    built = build_dataset(tmp_path / "d.csv", tmp_path / "out")
    before = digests(built)
    with pytest.raises(InputError):
        build_dataset(tmp_path / "d.csv", tmp_path / "out", target="x", task="classification")
    assert digests(built) == before and len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.parametrize(
    ("name", "kind", "task", "rows"),
    [
        ("digits.parquet", "tabular", "classification", 1797),
        ("diabetes.csv", "tabular", "regression", 442),
        ("messages.tsv", "text", "classification", 1500),
    ],
)
def test_the_samples_need_no_choices(name: str, kind: str, task: str, rows: int, tmp_path: Path) -> None:
    built = build_dataset(SAMPLES / name, tmp_path)
    assert (built.schema.kind, built.schema.task, sum(built.rows.values())) == (kind, task, rows)
    train = read_split(built.files["train"], built.schema)
    encoded = encode(build_preprocessor(built.schema, built.encoding), train.inputs)
    assert encoded.shape == (built.rows["train"], *encoded_shape(built.schema, built.encoding))
    for record in (built.schema, built.encoding, built.profile):
        assert type(record).model_validate_json(canonical_json(record.model_dump(mode="json"))) == record


def test_housing_with_its_words_and_empty_cells(tmp_path: Path, refusal: Callable[..., str]) -> None:
    if not HOUSING.exists():
        pytest.skip("../shared/data is absent")
    choices = {"target": "median_house_value"}
    assert "column 'total_bedrooms' is missing in row 291 of housing.csv (207 cells in all)" in refusal(
        HOUSING, **choices
    )
    built = build_dataset(HOUSING, tmp_path, missing="mean", target="median_house_value")
    data = pd.read_csv(HOUSING)
    assert built.schema.task == "regression" and sum(built.rows.values()) == len(data) == 20640
    assert built.encoding.features[-1].values == tuple(sorted(data["ocean_proximity"].unique()))  # type: ignore[union-attr]
    targets = np.concatenate([read_split(file, built.schema).target for file in built.files.values()])
    assert sorted(targets) == sorted(data["median_house_value"])
    dropped = build_dataset(HOUSING, tmp_path, missing="drop", target="median_house_value")
    assert sum(dropped.rows.values()) == 20433 and "rows with missing cells were dropped: 207" in dropped.warnings
