from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.datasets import summary
from tasks.datasets.build import build_dataset

Csv = Callable[..., Path]


def test_every_oddity_is_one_sentence(csv: Csv, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = [f"{i},{random.normal()},5,one,{i % 2},{i % 2}.0,{i % 3}" for i in range(200)]
    built = build_dataset(
        csv("key,x,five,word,leak,leak2,other,label", *(f"{r},{i % 2}" for i, r in enumerate(rows))), tmp_path
    )
    assert set(built.warnings) == {
        "column 'key' is different in almost every row: is it a key? exclude it",
        "column 'five' is constant in the training split",
        "column 'word' is constant in the training split",
        "feature 'leak' equals the target in every row: a label leak",
        "feature 'leak2' equals the target in every row: a label leak",
    }


def odd(path: Path, folder: Path, **choices: Any) -> list[str]:
    return [each for each in build_dataset(path, folder, **choices).warnings if "column" in each]


def test_a_constant_column_is_told_though_its_mean_is_rounded_and_though_its_gaps_are_filled(
    csv: Csv, tmp_path: Path
) -> None:
    path = csv("tenth,gaps,label", *(f"0.1,{5 if i % 9 else ''},{i % 2}" for i in range(1000)))
    assert odd(path, tmp_path, missing="mean") == [
        "column 'tenth' is constant in the training split",
        "column 'gaps' is constant in the training split",
    ]


def test_a_key_is_told_whatever_type_its_numbers_are_kept_in(csv: Csv, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = csv("key,x,label", *(f"{i}.0,{random.normal()},{i % 2}" for i in range(200)))
    assert odd(path, tmp_path) == ["column 'key' is different in almost every row: is it a key? exclude it"]


def test_of_many_rows_a_key_is_told_by_a_sample_in_which_nothing_is_repeated(
    csv: Csv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "SAMPLE_ROWS", 100)
    amounts = np.random.default_rng(0).integers(0, 2000, 3000)  # few of a hundred are repeated, but most of all
    path = csv("key,amount,label", *(f"{i},{amount},{i % 2}" for i, amount in enumerate(amounts)))
    assert odd(path, tmp_path) == ["column 'key' is different in every row of a sample of 100: is it a key? exclude it"]


def test_words_that_equal_the_label_are_a_leak(csv: Csv, tmp_path: Path) -> None:
    path = csv("w,v,label", *(f"{'ab'[i % 2]},{'ab'[i % 3 % 2]},{'ab'[i % 2]}" for i in range(200)))
    warnings = build_dataset(path, tmp_path).warnings
    assert [warning for warning in warnings if "leak" in warning] == [
        "feature 'w' equals the target in every row: a label leak"
    ]


def test_one_different_row_clears_a_feature(csv: Csv, tmp_path: Path) -> None:
    path = csv("w,label", *(f"{i % 2},{i % 2}" for i in range(199)), "0,1")
    assert not any("equals the target" in warning for warning in build_dataset(path, tmp_path).warnings)


def test_sound_data_have_no_warning(csv: Csv, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path = csv("a,b,label", *(f"{random.normal()},{random.normal()},{i % 2}" for i in range(200)))
    assert build_dataset(path, tmp_path).warnings == ()
