from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.contracts.errors import ConfigError, DataError
from tasks.datasets.build import build_dataset

Csv = Callable[..., Path]
ROWS = [f"{i},{i % 7},{'ab'[i % 2]}" for i in range(60)]
HEADER = "a,b,label"
WORDS = [f"word{i % 17} and {i} more" for i in range(60)]

REFUSED: dict[str, tuple[list[str], dict[str, Any], type[Exception], str]] = {
    "unknown target": (
        [HEADER, *ROWS],
        {"target": "lable"},
        DataError,
        "ingest.target: column 'lable' does not exist: did you mean 'label'? known: a, b, label",
    ),
    "unknown feature": (
        [HEADER, *ROWS],
        {"features": ("a", "c")},
        DataError,
        "ingest.features: column 'c' does not exist",
    ),
    "unknown excluded": ([HEADER, *ROWS], {"exclude": ("c",)}, DataError, "ingest.exclude: column 'c' does not exist"),
    "target excluded": (
        [HEADER, *ROWS],
        {"exclude": ("b",), "target": "b"},
        ConfigError,
        "ingest.exclude holds 'b', but must not: it is in ingest.target, so drop it from one",
    ),
    "feature excluded": (
        [HEADER, *ROWS],
        {"exclude": ("b",), "features": ("b",)},
        ConfigError,
        "ingest.exclude holds 'b', but must not: it is in ingest.features",
    ),
    "target as a feature": (
        [HEADER, *ROWS],
        {"features": ("a", "label")},
        ConfigError,
        "ingest.features holds 'label', but must not: it is the target",
    ),
    "feature twice": (
        [HEADER, *ROWS],
        {"features": ("a", "a")},
        ConfigError,
        "but must not repeat a column: name each once",
    ),
    "target alone": (
        ["label", "a", "b"],
        {},
        DataError,
        "data.csv has no column beside the target 'label', but must have",
    ),
    "all excluded": ([HEADER, *ROWS], {"exclude": ("a", "b", "label")}, ConfigError, "ingest.exclude leaves no column"),
    "words for regression": (
        [HEADER, *ROWS],
        {"task": "regression"},
        DataError,
        "target 'label' holds words, but regression needs numbers: set ingest.task to classification",
    ),
    "booleans for regression": (
        ["a,label", *(f"{i},{i % 2 > 0}" for i in range(60))],
        {"task": "regression"},
        DataError,
        "target 'label' holds booleans, but regression needs numbers",
    ),
    "fractions for classes": (
        ["a,y", *(f"{i},{i}.5" for i in range(60))],
        {"task": "classification"},
        DataError,
        "target 'y' holds 0.5, but classes must be words or whole numbers: set ingest.task to regression",
    ),
    "many classes": (
        ["a,label", *(f"{i},w{i}" for i in range(1500))],
        {},
        DataError,
        "target 'label' has more than 1000 distinct values, but classes must be at most that many",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_by_place_and_mend(name: str, csv: Csv, refusal: Callable[..., str]) -> None:
    lines, choices, error, words = REFUSED[name]
    assert words in refusal(csv(*lines), error, **choices)


TARGETS: dict[str, tuple[list[str], str, tuple[int, ...] | tuple[str, ...]]] = {
    "words": (["no", "yes"], "classification", ("no", "yes")),
    "booleans": (["True", "false"], "classification", ("false", "true")),
    "whole numbers": (["10", "9", "-1"], "classification", (-1, 9, 10)),
    "whole floats": (["2.0", "1.0"], "classification", (1, 2)),
    "a hundred whole numbers": ([str(i) for i in range(100)], "classification", tuple(range(100))),
    "a hundred and one": ([str(i) for i in range(101)], "regression", ()),
    "fractions": (["0.5", "1", "2"], "regression", ()),
}


@pytest.mark.parametrize("name", TARGETS)
def test_the_task_follows_from_the_target(name: str, csv: Csv, tmp_path: Path) -> None:
    values, task, labels = TARGETS[name]
    path = csv("a,y", *(f"{i},{values[i % len(values)]}" for i in range(len(values) * 12)))
    schema = build_dataset(path, tmp_path / "out").schema
    assert (schema.task, schema.labels) == (task, labels)


def test_the_form_overrules_the_rule(csv: Csv, tmp_path: Path) -> None:
    path = csv("a,y", *(f"{i},{i % 3}" for i in range(60)))
    assert build_dataset(path, tmp_path / "out", task="regression").schema.labels == ()
    path = csv("a,y", *(f"{i},{i % 200}" for i in range(4000)))
    assert len(build_dataset(path, tmp_path / "out", task="classification").schema.labels) == 200


@pytest.mark.parametrize(("header", "target"), [("label,target,z", "label"), ("target,y,z", "target"), ("x,y,z", "z")])
def test_the_usual_target(header: str, target: str, csv: Csv, tmp_path: Path) -> None:
    built = build_dataset(csv(header, *(f"{i % 2},{i % 3},{i % 5}" for i in range(60))), tmp_path / "out")
    assert built.schema.target == target


def test_features_keep_the_order_of_the_form(csv: Csv, tmp_path: Path) -> None:
    built = build_dataset(csv(HEADER, *ROWS), tmp_path / "out", features=("b", "a"))
    assert [feature.name for feature in built.schema.features] == ["b", "a"]


def test_a_column_named_text_stands_alone(csv: Csv, tmp_path: Path) -> None:
    path = csv("id,Question,label", *(f"{i},w{i % 3},{i % 2}" for i in range(60)))
    built = build_dataset(path, tmp_path / "out")
    assert [(feature.name, feature.kind) for feature in built.schema.features] == [("Question", "text")]
    assert "columns 'id' are left out: a text stands alone" in built.warnings
    named = build_dataset(path, tmp_path / "out", features=("id", "Question"))
    assert [feature.kind for feature in named.schema.features] == ["number", "category"]


@pytest.mark.parametrize("rows", [60, 3000])
def test_a_single_column_of_sentences_is_text(rows: int, csv: Csv, tmp_path: Path) -> None:
    path = csv("body,label", *(f"word{i % 17} and {i} more,{i % 2}" for i in range(rows)))
    assert build_dataset(path, tmp_path / "out").schema.kind == "text"


def test_a_single_column_of_few_words_is_a_category(csv: Csv, tmp_path: Path) -> None:
    path = csv("city,label", *(f"{('New York', 'San Jose')[i % 2]},{i % 3}" for i in range(60)))
    assert build_dataset(path, tmp_path / "out").schema.features[0].kind == "category"


def test_unicode_names_travel(csv: Csv, tmp_path: Path) -> None:
    built = build_dataset(
        csv("größe,città 東京,λ", *(f"{i},{'åß'[i % 2]},{i % 2}" for i in range(60))), tmp_path / "out"
    )
    assert [feature.name for feature in built.schema.features] == ["größe", "città 東京"]
