from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.datasets.formats import detect

Refused = dict[str, tuple[str, bytes, str]]
REFUSED: Refused = {
    "empty": ("data.csv", b"", "data.csv is empty, but must hold data: choose another source"),
    "unknown": (
        "data.xyz",
        b"hello",
        "data.xyz is of no known format, but must be: set format, or give csv, parquet",
    ),
    "image": (
        "a.png",
        b"\x89PNG....",
        "a.png is a single image, but must be a folder with a sub-folder for each class",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_by_place_and_mend(name: str, tmp_path: Path, refusal: Callable[..., str]) -> None:
    file, content, words = REFUSED[name]
    (tmp_path / file).write_bytes(content)
    assert words in refusal(tmp_path / file)


def test_refuses_what_does_not_exist(tmp_path: Path, refusal: Callable[..., str]) -> None:
    message = refusal(tmp_path / "no.csv")
    assert message == f"source {tmp_path / 'no.csv'} does not exist, but must be a file or folder: check ingest.source"


def test_refuses_what_is_too_large(tmp_path: Path, refusal: Callable[..., str]) -> None:
    (tmp_path / "data.csv").write_bytes(b"a,b\n1,2\n")
    assert "data.csv is 8 bytes, but max_bytes allows 7: raise it" in refusal(tmp_path / "data.csv", max_bytes=7)


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"content")
    return root


def test_refuses_folders_of_nothing_usable(tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert "data holds nothing usable, but must hold data" in refusal(folder(tmp_path / "data", "notes.md"))
    assert "holds files of csv and jsonl, but must hold one format" in refusal(
        folder(tmp_path / "b", "a.csv", "b.jsonl")
    )
    assert "cat/a.doc is no PNG or JPEG image" in refusal(folder(tmp_path / "c", "cat/a.doc"))
    assert "holds 2 NPZ archives, but must hold one: give its path" in refusal(folder(tmp_path / "d", "a.npz", "b.npz"))
    assert "e holds no parquet files, but must" in refusal(folder(tmp_path / "e", "a.csv"), format="parquet")
    (tmp_path / "f").mkdir()
    assert "f is empty, but must hold data" in refusal(tmp_path / "f")


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.csv", b"", "csv"),
        ("a.CSV.gz", b"", "csv"),
        ("a.pq", b"", "parquet"),
        ("a.ndjson", b"", "jsonl"),
        ("train-images-idx3-ubyte", b"", "idx"),
        ("train-images.idx3-ubyte.gz", b"", "idx"),
        ("a.txt", b"", "text"),
        ("a.tsv", b"spam\tbuy this\n", "text"),
        ("a.tsv", b"label\ttext\nspam\tbuy this\n", "csv"),
        ("a.tsv", b"a\tb\tc\n", "csv"),
        ("download", b"PAR1....", "parquet"),
        ("download", b"PK\x03\x04", "npz"),
        ("download", b'{"a": 1}', "jsonl"),
        ("download", b"\0\0\x08\x03", "idx"),
    ],
)
def test_the_format_follows_from_name_and_first_bytes(name: str, content: bytes, form: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert detect(tmp_path / name) == form


@pytest.mark.parametrize(
    ("names", "form"),
    [
        (("train.csv", "test.csv", "README.md"), "csv"),
        (("cat/a.png", "dog/b.png"), "images"),
        (("train/cat/a.png", "README.md"), "images"),
        (("train.txt", "test.txt"), "text"),
        (("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"), "idx"),
    ],
)
def test_the_format_of_a_folder_is_that_of_its_files(names: tuple[str, ...], form: str, tmp_path: Path) -> None:
    assert detect(folder(tmp_path / "data", *names)) == form
