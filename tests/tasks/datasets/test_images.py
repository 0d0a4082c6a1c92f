import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.datasets.build import build_dataset
from tasks.datasets.reader import read_split

Add = Callable[[Path], object]


def pictures(root: Path, labels: tuple[str, ...] = ("cat", "dog"), count: int = 10, mode: str = "L") -> Path:
    for label in labels:
        (root / label).mkdir(parents=True)
        for i in range(count):
            Image.new(mode, (8, 6), color=i).save(root / label / f"{i}.png")
    return root


def png(name: str, size: tuple[int, int] = (8, 6), mode: str = "L") -> Add:
    return lambda root: Image.new(mode, size).save(root / name)


def cut(root: Path) -> None:
    packed = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (6, 8), dtype=np.uint8)).save(packed, "PNG")
    (root / "cat" / "cut.png").write_bytes(packed.getvalue()[:60])


REFUSED: dict[str, tuple[Add, str]] = {
    "no image": (
        lambda root: (root / "cat" / "notes.txt").write_text("x"),
        "cat/notes.txt is no PNG or JPEG image, but everything in a class folder must be: move it away",
    ),
    "other size": (png("dog/odd.png", (9, 6)), "dog/odd.png is 9 x 6 pixels, but all must be 8 x 6 like cat/0.png"),
    "cut": (cut, "cat/cut.png is no whole image"),
    "16 bits": (png("cat/deep.png", mode="I;16"), "cat/deep.png has more than 8 bits a channel, but must have 8"),
    "no class": (png("loose.png"), "loose.png lies in no class, but every image must lie in a sub-folder"),
    "empty class": (lambda root: (root / "cow").mkdir(), "folder cow holds no image, but every class must: remove it"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_by_place_and_mend(name: str, tmp_path: Path, refusal: Callable[..., str]) -> None:
    add, words = REFUSED[name]
    root = pictures(tmp_path / "pictures")
    add(root)
    assert words in refusal(root)


def test_refuses_what_lies_beside_train_and_test(tmp_path: Path, refusal: Callable[..., str]) -> None:
    pictures(tmp_path / "set" / "train")
    pictures(tmp_path / "set" / "other")
    assert "other lies beside train in set, but a folder with train and test must hold nothing else" in refusal(
        tmp_path / "set"
    )


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_pixels_arrive_as_pillow_reads_them(mode: str, tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    random = np.random.default_rng(0)
    expected = {}
    for label in (0, 1):
        (root / str(label)).mkdir(parents=True)
        for i in range(20):
            image = Image.fromarray(random.integers(0, 255, (6, 8, 3), dtype=np.uint8)).convert(mode)
            image.save(root / str(label) / f"{i}.png")
            pixels = np.asarray(image.convert("L" if mode in ("L", "1") else "RGB"))
            expected[pixels.tobytes()] = label
    built = build_dataset(root, tmp_path / "out")
    assert built.schema.features[0].shape == ((6, 8) if mode in ("L", "1") else (6, 8, 3))
    assert built.schema.labels == (0, 1)
    for file in built.files.values():
        rows = read_split(file, built.schema)
        for pixels, label in zip(rows.inputs["image"], rows.target, strict=True):
            assert expected.pop(pixels.tobytes()) == label
    assert not expected


def test_jpeg_and_hidden_files_are_fine(tmp_path: Path) -> None:
    root = pictures(tmp_path / "pictures")
    Image.new("L", (8, 6)).save(root / "cat" / "z.JPG", "JPEG")
    (root / "cat" / ".DS_Store").write_bytes(b"x")
    (root / ".git").mkdir()
    assert sum(build_dataset(root, tmp_path / "out").rows.values()) == 21


def test_grey_among_colours_becomes_colour(tmp_path: Path) -> None:
    root = pictures(tmp_path / "pictures")
    Image.new("RGB", (8, 6)).save(root / "dog" / "z.png")
    assert build_dataset(root, tmp_path / "out").schema.features[0].shape == (6, 8, 3)


def test_train_and_test_folders_are_given_splits(tmp_path: Path) -> None:
    pictures(tmp_path / "set" / "train", count=20)
    pictures(tmp_path / "set" / "test", count=5)
    built = build_dataset(tmp_path / "set", tmp_path / "out", split_by="given")
    assert built.rows["test"] == 10 and built.rows["train"] + built.rows["validation"] == 40
    assert built.schema.labels == ("cat", "dog")
