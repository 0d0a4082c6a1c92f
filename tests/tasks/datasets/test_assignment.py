from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.contracts.errors import ConfigError, DataError
from tasks.datasets.build import build_dataset

Csv = Callable[..., Path]
ROWS = [f"{i},{i % 7},{'ab'[i % 2]}" for i in range(60)]
HEADER = "a,b,label"

REFUSED: dict[str, tuple[list[str], dict[str, Any], type[Exception], str]] = {
    "no time column": (
        [HEADER, *ROWS],
        {"split_by": "time"},
        ConfigError,
        "ingest.time_column is empty, but",
    ),
    "unknown time column": (
        [HEADER, *ROWS],
        {"split_by": "time", "time_column": "when"},
        DataError,
        "ingest.time_column: column 'when' does not exist: known: a, b, label",
    ),
    "time is the target": (
        [HEADER, *ROWS],
        {"split_by": "time", "time_column": "b", "target": "b"},
        ConfigError,
        "ingest.target is 'b', but must be another column: that one assigns rows to splits",
    ),
    "unsortable time": (
        ["t,a,label", *(f"{'2026-11-01' if i < 9 else 'soon'},{i},{i % 2}" for i in range(60))],
        {"split_by": "time", "time_column": "t"},
        DataError,
        "time column 't' is 'soon' in row 10 of data.csv, but must be a number or an ISO 8601 time",
    ),
    "one word among numbers": (
        ["t,a,label", *(f"{'oops' if i == 40 else i},{i},{i % 2}" for i in range(60))],
        {"split_by": "time", "time_column": "t"},
        DataError,
        "time column 't' is 'oops' in row 41 of data.csv, but must be a number or an ISO 8601 time",
    ),
    "numbers beside times": (
        ["t,a,label", *(f"{i if i < 9 else '2026-11-01'},{i},{i % 2}" for i in range(60))],
        {"split_by": "time", "time_column": "t"},
        DataError,
        "time column 't' is '0' in row 1 of data.csv, but must be an ISO 8601 time "
        "(2026-11-30T12:00:00), since not every row holds a number",
    ),
    "boolean time": (
        ["t,a,label", *(f"{i % 3 > 0},{i},{i % 2}" for i in range(60))],
        {"split_by": "time", "time_column": "t"},
        DataError,
        "time column 't' is a column of bool in data.csv, but must be a number or an ISO 8601 time",
    ),
    "missing time": (
        ["t,a,label", *(f"{i or ''},{i},{i % 2}" for i in range(60))],
        {"split_by": "time", "time_column": "t"},
        DataError,
        "time column 't' is missing in row 1 of data.csv, but split_by=time needs every row's time: fill it in",
    ),
    "one time": (
        ["t,a,label", *(f"1,{i},{i % 2}" for i in range(60))],
        {"split_by": "time", "time_column": "t"},
        DataError,
        "the train split has 0 of 60 rows",
    ),
    "no sides": (
        [HEADER, *ROWS],
        {"split_by": "given"},
        DataError,
        "data.csv is named after no split, but split_by=given needs train and test files or a column 'split'",
    ),
    "odd side": (
        ["split,a,label", *(f"{('train', 'test', 'dveelop')[i % 3]},{i},{i % 2}" for i in range(60))],
        {"split_by": "given"},
        DataError,
        "column 'split' is 'dveelop' in row 3 of data.csv, but must be train, validation or test: mend it",
    ),
    "missing side": (
        ["split,a,label", *(f"{('train', 'test', '')[i % 3]},{i},{i % 2}" for i in range(60))],
        {"split_by": "given"},
        DataError,
        "column 'split' is '' in row 3 of data.csv, but must be train, validation or test",
    ),
    "no test rows": (
        ["split,a,label", *(f"train,{i},{i % 2}" for i in range(60))],
        {"split_by": "given"},
        DataError,
        "column 'split' of data.csv gives no test rows, but split_by=given needs train and test: add them",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_by_place_and_mend(name: str, csv: Csv, refusal: Callable[..., str]) -> None:
    lines, choices, error, words = REFUSED[name]
    assert words.removesuffix(" fill it in") in refusal(csv(*lines), error, **choices)


def test_refuses_a_folder_without_test(tmp_path: Path, refusal: Callable[..., str]) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "train.csv").write_text("\n".join([HEADER, *ROWS]))
    assert "data gives no test rows, but split_by=given needs train and test" in refusal(root, split_by="given")


def test_validation_of_the_source_is_taken_as_it_is(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for name, rows in (("train", ROWS), ("valid", ROWS[:11]), ("test", ROWS[:7])):
        (root / f"{name}.csv").write_text("\n".join([HEADER, *rows]))
    built = build_dataset(root, tmp_path / "out", split_by="given")
    assert built.rows == {"train": 60, "validation": 11, "test": 7}


def test_a_time_column_may_be_a_feature_if_it_is_named(csv: Csv, tmp_path: Path) -> None:
    path = csv("t,a,label", *(f"{i},{i},{i % 2}" for i in range(60)))
    built = build_dataset(path, tmp_path / "out", split_by="time", time_column="t", features=("t", "a"))
    assert [feature.name for feature in built.schema.features] == ["t", "a"]
