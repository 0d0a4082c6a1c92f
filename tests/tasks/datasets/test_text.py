import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.datasets.build import build_dataset
from tasks.datasets.reader import read_split

LINES = [f"{'ab'[i % 2]}\tNumber {i} of ünïcode" for i in range(60)]
REFUSED = {
    "no label": (
        ["a\thello you", "hello there"],
        "line 2 of data.txt is 'hello there', but must be a label, a tab and a text",
    ),
    "no text": (["a hello", "b"], "line 2 of data.txt is 'b', but must be a label, a blank and a text"),
    "empty label": (["a\thello", "\tyou"], "but must be a label, a tab and a text"),
    "empty text": ([*LINES, "a\t"], "column 'text' is missing in row 61 of data.txt"),
    "blank": ([" ", ""], "data.txt is empty, but must hold 'label text' lines"),
    "one class": (["a hello", "a you"] * 20, "target 'label' holds one class, 'a'"),
}


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_by_place_and_mend(name: str, tmp_path: Path, refusal: Callable[..., str]) -> None:
    lines, words = REFUSED[name]
    assert words in refusal(written(tmp_path / "data.txt", lines))


def test_refuses_another_encoding_by_line(tmp_path: Path, refusal: Callable[..., str]) -> None:
    (tmp_path / "data.txt").write_bytes("\n".join(LINES).encode("latin-1"))
    assert "line 1 of data.txt holds byte 0xfc, but must be UTF-8: save the file as UTF-8" in refusal(
        tmp_path / "data.txt"
    )


def test_one_stray_byte_in_hundreds_is_a_warning(tmp_path: Path) -> None:
    content = "\n".join(LINES * 4).encode() + b"\na\tsister\xf0city\n"
    (tmp_path / "data.txt").write_bytes(content)
    built = build_dataset(tmp_path / "data.txt", tmp_path / "out")
    assert "1 of 241 lines of data.txt are not UTF-8, first line 241" in built.warnings


def test_labels_that_are_whole_numbers_stay_so(tmp_path: Path) -> None:
    numbers = [f"{i % 3} some words" for i in range(60)]
    assert build_dataset(written(tmp_path / "a.txt", numbers), tmp_path / "a").schema.labels == (0, 1, 2)
    padded = [f"0{i % 3} some words" for i in range(60)]
    assert build_dataset(written(tmp_path / "b.txt", padded), tmp_path / "b").schema.labels == ("00", "01", "02")


def test_texts_arrive_as_they_were_written(tmp_path: Path) -> None:
    built = build_dataset(written(tmp_path / "data.txt", LINES), tmp_path / "out")
    texts = [text for file in built.files.values() for text in read_split(file, built.schema).inputs["text"]]
    assert sorted(texts) == sorted(line.split("\t")[1] for line in LINES)
    assert built.schema.kind == "text" and built.schema.target == "label"


@pytest.mark.parametrize("suffix", [".txt", ".tsv", ".txt.gz"])
def test_a_folder_gives_its_own_splits(suffix: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    pack = gzip.compress if suffix.endswith("gz") else bytes
    (root / f"train{suffix}").write_bytes(pack("\n".join(LINES).encode()))
    (root / f"test{suffix}").write_bytes(pack("\n".join(LINES[:7]).encode()))
    built = build_dataset(root, tmp_path / "out", split_by="given", validation_share=0.25)
    assert built.rows["test"] == 7 and built.rows["train"] + built.rows["validation"] == 60
    assert 12 <= built.rows["validation"] <= 18


def test_reads_trec(tmp_path: Path) -> None:
    source = Path(__file__).parents[4] / "shared" / "data" / "trec"
    if not source.exists():
        pytest.skip("../shared/data is absent")
    built = build_dataset(source, tmp_path, split_by="given")
    assert built.rows["test"] == 500 and built.rows["train"] + built.rows["validation"] == 5452
    assert built.schema.labels == (0, 1, 2, 3, 4, 5)
    assert any("not UTF-8" in warning for warning in built.warnings)
