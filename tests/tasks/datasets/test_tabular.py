from collections.abc import Callable
from pathlib import Path

from tasks.datasets.build import build_dataset
from tasks.datasets.reader import read_split


def folder(root: Path, **files: list[str]) -> Path:
    root.mkdir()
    for name, lines in files.items():
        (root / f"{name}.csv").write_text("".join(f"{line}\n" for line in lines))
    return root


def test_refuses_files_with_different_columns(tmp_path: Path, refusal: Callable[..., str]) -> None:
    root = folder(tmp_path / "data", train=["a,label", "1,2"], test=["b,label", "1,2"])
    assert "train.csv and test.csv differ in column 'a', but must have the same" in refusal(root)


def test_types_are_joined_over_files_and_columns_go_by_name(tmp_path: Path) -> None:
    root = folder(
        tmp_path / "data",
        train=["a,b,label", *(f"{i},{i},{i % 2}" for i in range(60))],
        test=["label,b,a", *(f"{i % 2},{i},{i}.5" for i in range(30))],
    )
    built = build_dataset(root, tmp_path / "out", split_by="given")
    test = read_split(built.files["test"], built.schema)
    assert test.inputs["features"].tolist() == [[i + 0.5, i] for i in range(30)]
    assert test.target.tolist() == [i % 2 for i in range(30)]


def test_messages_name_the_file_and_its_own_row(tmp_path: Path, refusal: Callable[..., str]) -> None:
    rows = [f"{i},{i % 2}" for i in range(60)]
    root = folder(tmp_path / "data", train=["a,label", *rows], test=["a,label", *rows[:9], "inf,1"])
    assert "column 'a' is inf in row 10 of test.csv" in refusal(root)


def test_only_split_files_are_read_where_there_are_such(tmp_path: Path) -> None:
    rows = [f"{i},{i % 2}" for i in range(60)]
    root = folder(tmp_path / "data", train=["a,label", *rows], test=["a,label", *rows], sample_submission=["x", "1"])
    assert sum(build_dataset(root, tmp_path / "out").rows.values()) == 120
