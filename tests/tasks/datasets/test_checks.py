from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.datasets.build import build_dataset

Csv = Callable[..., Path]
ROWS = [f"{i},{i % 7},{'ab'[i % 2]}" for i in range(60)]
HEADER = "a,b,label"

REFUSED: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "empty number": (
        [HEADER, *ROWS[:4], "1,,a", *ROWS, ",2,a"],
        {},
        "column 'a' is missing in row 66 of data.csv (1 cell in all), but ingest.missing=error allows none",
    ),
    "empty word": (
        ["w,b,label", *(f"{'xy'[i % 2]},{i},{i % 2}" for i in range(60)), ",1,1", ",2,0"],
        {},
        "column 'w' is missing in row 61 of data.csv (2 cells in all), but ingest.missing=error allows none: set it to",
    ),
    "NaN": ([HEADER, *ROWS, "1,NaN,a"], {}, "column 'b' is missing in row 61 of data.csv"),
    "empty column": (
        [HEADER, *(f",{i},{i % 2}" for i in range(60))],
        {"missing": "mean"},
        "column 'a' is empty in every row, but must hold values: exclude it",
    ),
    "all dropped": (
        [HEADER, *(f"1,,{i % 2}\n,1,{i % 2}" for i in range(60))],
        {"missing": "drop"},
        "data.csv has no usable row, but must have some: set ingest.missing to mean",
    ),
    "infinite": ([HEADER, *ROWS, "inf,2,a"], {}, "column 'a' is inf in row 61 of data.csv, but must be finite"),
    "beyond 32 bits": (
        [HEADER, *ROWS, "1,-1e300,a"],
        {},
        "column 'b' is -1e+300 in row 61 of data.csv, but must be finite",
    ),
    "infinite target": (["a,y", *(f"{i},{i}.5" for i in range(60)), "1,-inf"], {}, "column 'y' is -inf in row 61"),
    "missing label": (
        [HEADER, *ROWS, "1,2,"],
        {"missing": "mean"},
        "target 'label' is missing in row 61 of data.csv (1 cell in all), but every row needs a label: fill it in",
    ),
    "missing number to predict": (
        ["a,y", *(f"{i},{i}.5" for i in range(60)), "1,nan"],
        {},
        "target 'y' is missing in row 61",
    ),
    "one class": (
        [HEADER, *(f"{i},{i},yes" for i in range(60))],
        {},
        "target 'label' holds one class, 'yes', but must hold at least two: add rows of another",
    ),
    "class of one row": (
        [HEADER, *ROWS, "1,2,c"],
        {},
        "class 'c' has a single row, but must have at least two: add rows",
    ),
    "constant target": (["a,y", *(f"{i},2.5" for i in range(60))], {}, "target 'y' is 2.5 in every row, but must vary"),
    "many words": (
        ["a,w,label", *(f"{i},w{i},{i % 2}" for i in range(1500))],
        {},
        "column 'w' holds more than 1000 distinct words, but a category must hold at most that many: exclude it "
        "(ingest.exclude: ['w'])",
    ),
    "name of an output": (
        ["probabilities,w,label", *(f"{i},{'xy'[i % 2]},{i % 3}" for i in range(60))],
        {},
        "column 'probabilities' is called like a tensor of the model, but must not be (encoded, label, logits",
    ),
    "times to predict": (
        ["a,t", *(f"{i},2026-11-{i % 28 + 1:02}" for i in range(60))],
        {},
        "target 't' holds times (date32[day]), but must hold numbers or words: choose another target",
    ),
    "no test rows": (
        [HEADER, *ROWS],
        {"test_share": 0.0},
        "the test split has 0 of 60 rows, but every split needs at least one: add rows, or raise ingest.test_share",
    ),
    "no validation rows": ([HEADER, *ROWS], {"validation_share": 0.0}, "the validation split has 0 of 60 rows"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_by_place_and_mend(name: str, csv: Csv, refusal: Callable[..., str]) -> None:
    lines, choices, words = REFUSED[name]
    assert words in refusal(csv(*lines), **choices)


def test_refuses_three_rows(csv: Csv, refusal: Callable[..., str]) -> None:
    for seed in range(20):
        message = refusal(csv("a,y", "1,1.5", "2,2.5"), seed=seed)
        assert "of 2 rows, but every split needs at least one: add rows" in message


def test_refuses_a_class_that_is_never_trained_on(csv: Csv, refusal: Callable[..., str]) -> None:
    rows = [f"{i},{i},a" for i in range(50)] + [f"{i},{i},b" for i in range(25)] + ["98,1,late", "99,1,late"]
    message = refusal(csv("t,x,label", *rows), split_by="time", time_column="t")
    assert "class 'late' has 2 rows, but none in the training split" in message


def test_refuses_a_column_without_training_values(csv: Csv, refusal: Callable[..., str]) -> None:
    rows = [f"{i},{i},{i if i > 58 else ''},{'ab'[i % 2]}" for i in range(60)]
    message = refusal(csv("t,x,late,label", *rows), missing="mean", split_by="time", time_column="t")
    assert "column 'late' is empty in every row of the training split, but must hold values: exclude it" in message


def test_a_class_without_test_rows_is_a_warning(csv: Csv, tmp_path: Path) -> None:
    rows = [f"0,{i},early" for i in range(5)] + [f"{i},{i},{'ab'[i % 2]}" for i in range(1, 80)]
    built = build_dataset(csv("t,x,label", *rows), tmp_path / "out", split_by="time", time_column="t")
    assert "class 'early' does not occur in the test split" in built.warnings


def test_names_are_free_where_numbers_travel_as_one_matrix(csv: Csv, tmp_path: Path) -> None:
    path = csv("encoded,probabilities,label", *(f"{i},{i},{i % 2}" for i in range(60)))
    assert len(build_dataset(path, tmp_path / "out").schema.features) == 2


def test_the_largest_float_is_fine(csv: Csv, tmp_path: Path) -> None:
    largest = float(np.finfo(np.float32).max)
    path = csv(HEADER, *ROWS, f"{largest!r},{-largest!r},a")
    assert sum(build_dataset(path, tmp_path / "out").rows.values()) == 61
