from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.dataset import ColumnProfile
from tasks.datasets import summary
from tasks.datasets.build import build_dataset
from tasks.datasets.reader import read_split


def written(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def columns_of(source: Path, folder: Path, **choices: str) -> dict[str, ColumnProfile]:
    return {column.name: column for column in build_dataset(source, folder, **choices).profile.columns}  # type: ignore[arg-type]


def table(path: Path) -> Path:
    rows = [f"{i**2},{'' if i % 10 == 0 else 'xyz'[i % 3]},5,{i % 4}" for i in range(1000)]
    return written(path, "n,w,c,label", *rows)


def test_one_column_a_feature_and_the_target_last(tmp_path: Path) -> None:
    assert list(columns_of(table(tmp_path / "d.csv"), tmp_path / "out", missing="mean")) == ["n", "w", "c", "label"]


def test_numbers_are_cut_at_the_deciles_of_training(tmp_path: Path) -> None:
    built = build_dataset(table(tmp_path / "d.csv"), tmp_path / "out", missing="mean")
    column = built.profile.columns[0]
    train = read_split(built.files["train"], built.schema).inputs["n"].astype(np.float64)
    np.testing.assert_allclose(column.edges, np.quantile(train, np.linspace(0, 1, 11)))
    assert sum(column.counts) == len(train) == built.rows["train"] and len(column.counts) == 10
    assert max(column.counts) - min(column.counts) <= 2
    assert (column.mean, column.std) == (pytest.approx(train.mean()), pytest.approx(train.std()))
    assert column.distinct == len(np.unique(train))


def test_categories_are_counted_and_missing_ones_apart(tmp_path: Path) -> None:
    built = build_dataset(table(tmp_path / "d.csv"), tmp_path / "out", missing="mean")
    column = built.profile.columns[1]
    words = read_split(built.files["train"], built.schema).inputs["w"].tolist()
    assert dict(zip(column.values, column.counts, strict=True)) == {word: words.count(word) for word in "xyz"}
    assert column.missing == words.count("") and column.distinct == 3


def test_a_constant_is_one_bin(tmp_path: Path) -> None:
    column = columns_of(table(tmp_path / "d.csv"), tmp_path / "out", missing="mean")["c"]
    assert column.edges == (5, 5) and len(column.counts) == 1 and column.std == 0


def test_classes_are_listed_by_frequency(tmp_path: Path) -> None:
    built = build_dataset(table(tmp_path / "d.csv"), tmp_path / "out", missing="mean")
    column = built.profile.columns[-1]
    assert sorted(column.values) == ["0", "1", "2", "3"] and sum(column.counts) == built.rows["train"]
    assert list(column.counts) == sorted(column.counts, reverse=True)


def test_a_text_is_described_by_its_words_and_an_image_by_its_brightness(tmp_path: Path) -> None:
    lines = [f"{'ab'[i % 2]}\t{'w ' * (i % 7 + 1)}x{i}" for i in range(100)]
    text = columns_of(written(tmp_path / "d.txt", *lines), tmp_path / "out")["text"]
    assert text.edges[0] == 2 and text.edges[-1] == 8
    images = np.random.default_rng(0).integers(0, 256, (90, 5, 4), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x=images, y=np.arange(90) % 2)
    image = columns_of(tmp_path / "d.npz", tmp_path / "out")["image"]
    assert image.mean == pytest.approx(127.5, abs=5) and sum(image.counts) == build_rows(tmp_path / "d.npz", tmp_path)


def build_rows(source: Path, folder: Path) -> int:
    return build_dataset(source, folder / "again").rows["train"]


def test_a_large_split_is_sampled_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "SAMPLE_ROWS", 100)
    built = build_dataset(table(tmp_path / "d.csv"), tmp_path / "out", missing="mean")
    column = built.profile.columns[0]
    assert 50 <= sum(column.counts) <= 100
    train = read_split(built.files["train"], built.schema).inputs["n"]
    assert column.mean == pytest.approx(train.astype(np.float64).mean())
