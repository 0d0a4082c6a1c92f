import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.datasets.build import build_dataset
from tasks.datasets.reader import read_split

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 255, (60, 4, 5), dtype=np.uint8)
LABELS = np.arange(60) % 3


def written(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "objects": (
        {"x": np.array([{}] * 60, dtype=object), "y": LABELS},
        "array 'x' of data.npz holds Python objects, but must",
    ),
    "object labels": (
        {"x": IMAGES, "y": LABELS.astype(object)},
        "array 'y' of data.npz holds Python objects, but must",
    ),
    "other length": (
        {"x": IMAGES, "y": LABELS[:-1]},
        "x (60, 4, 5) and y (59,) of data.npz differ in rows, but must have",
    ),
    "unknown keys": (
        {"foo": IMAGES, "bar": LABELS},
        "data.npz holds foo, bar, but must hold x and y, images and labels",
    ),
    "no test labels": ({"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES}, "rename the arrays"),
    "one-hot": ({"x": IMAGES, "y": np.eye(3)[LABELS]}, "y of data.npz is float64 (60, 3), but must be one label a row"),
    "channels first": (
        {"x": np.zeros((60, 3, 9, 9), np.uint8), "y": LABELS},
        "x of data.npz is uint8 (60, 3, 9, 9), but must be",
    ),
    "float images": ({"x": IMAGES / 255, "y": LABELS}, "x of data.npz is float64 (60, 4, 5), but must be uint8 images"),
    "complex": ({"x": np.zeros((60, 3), complex), "y": LABELS}, "x of data.npz is complex128 (60, 3), but must be"),
    "sides differ": (
        {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:, 1:], "y_test": LABELS},
        "x_test of data.npz holds rows (3, 5) of uint8, but must hold rows like x_train",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_by_place_and_mend(name: str, tmp_path: Path, refusal: Callable[..., str]) -> None:
    arrays, words = REFUSED[name]
    assert words in refusal(written(tmp_path / "data.npz", **arrays))


def test_refuses_what_is_no_archive(tmp_path: Path, refusal: Callable[..., str]) -> None:
    (tmp_path / "data.npz").write_bytes(b"PK\x03\x04 hello")
    assert "data.npz is no whole NPZ archive" in refusal(tmp_path / "data.npz")


def test_refuses_a_cut_array(tmp_path: Path, refusal: Callable[..., str]) -> None:
    packed = io.BytesIO()
    np.save(packed, np.zeros((20, 3)))
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x.npy", packed.getvalue()[:-8])
    assert "array 'x' of data.npz is cut, but must be 480 bytes: write it again" in refusal(tmp_path / "data.npz")


def test_refuses_a_damaged_member(tmp_path: Path, refusal: Callable[..., str]) -> None:
    path = written(tmp_path / "data.npz", x=RANDOM.random((600, 5)), y=np.arange(600))
    content = bytearray(path.read_bytes())
    content[2000:2100] = bytes(100)
    path.write_bytes(content)
    assert "data.npz is no whole NPZ archive" in refusal(path)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("keys", [("x", "y"), ("images", "labels"), ("X", "y")])
def test_images_and_labels_arrive(keys: tuple[str, str], order: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "data.npz", **{keys[0]: np.asarray(IMAGES, order=order), keys[1]: LABELS.reshape(-1, 1)})
    built = build_dataset(path, tmp_path / "out")
    expected = {image.tobytes(): label for image, label in zip(IMAGES, LABELS, strict=True)}
    for file in built.files.values():
        rows = read_split(file, built.schema)
        for image, label in zip(rows.inputs["image"], rows.target, strict=True):
            assert expected.pop(image.tobytes()) == label
    assert not expected


@pytest.mark.parametrize("dtype", [">f4", "<f8", "f2", ">i2", "bool"])
def test_numbers_become_columns(dtype: str, tmp_path: Path) -> None:
    x = (RANDOM.random((60, 3)) * 2).astype(dtype)
    built = build_dataset(written(tmp_path / "data.npz", x=x, y=x[:, 0] * 3 + RANDOM.random(60)), tmp_path / "out")
    assert [feature.name for feature in built.schema.features] == ["x_0", "x_1", "x_2"]
    assert built.schema.task == "regression"
    rows = np.concatenate([read_split(file, built.schema).inputs["features"] for file in built.files.values()])
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, x.astype(np.float32).tolist()))


def test_strings_are_text(tmp_path: Path) -> None:
    texts = np.array([f"number {i}" for i in range(60)])
    built = build_dataset(
        written(tmp_path / "data.npz", texts=texts, labels=np.array(["no", "yes"] * 30)), tmp_path / "out"
    )
    assert built.schema.kind == "text" and built.schema.labels == ("no", "yes")


def test_train_and_test_arrays_are_given_splits(tmp_path: Path) -> None:
    path = written(tmp_path / "d.npz", x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:9], y_test=LABELS[:9])
    built = build_dataset(path, tmp_path / "out", split_by="given")
    assert built.rows["test"] == 9 and built.rows["train"] + built.rows["validation"] == 60
    assert any("9 rows of the test split also stand in train" in w or "test split" in w for w in built.warnings)
