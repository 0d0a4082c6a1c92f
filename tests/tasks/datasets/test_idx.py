import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks.datasets.build import build_dataset
from tasks.datasets.reader import read_split

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 4, 5), dtype=np.uint8)
IMAGES = struct.pack(">4B3i", 0, 0, 8, 3, 40, 4, 5) + PIXELS.tobytes()
LABELS = struct.pack(">4Bi", 0, 0, 8, 1, 40) + bytes([0, 1] * 20)


def written(folder: Path, images: bytes, labels: bytes | None, side: str = "train", suffix: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    pack = gzip.compress if suffix else bytes
    (folder / f"{side}-images-idx3-ubyte{suffix}").write_bytes(pack(images))
    if labels is not None:
        (folder / f"{side}-labels-idx1-ubyte{suffix}").write_bytes(pack(labels))
    return folder


REFUSED: dict[str, tuple[bytes, bytes | None, str]] = {
    "magic": (b"\0\0\x0d\x03" + IMAGES[4:], LABELS, "begins with 00000d03, but must begin with 00000803 or 00000804"),
    "label magic": (
        IMAGES,
        b"\0\0\x08\x03" + LABELS[4:],
        "labels-idx1-ubyte begins with 00000803, but must begin with 00000801",
    ),
    "cut": (IMAGES[:-1], LABELS, "train-images-idx3-ubyte ends in row 40, but its header promises more"),
    "cut header": (IMAGES[:9], LABELS, "train-images-idx3-ubyte ends in its header, but must be whole"),
    "goes on": (IMAGES + b"\0", LABELS, "train-images-idx3-ubyte goes on beyond the rows its header promises"),
    "lies": (
        IMAGES[:8] + b"\x7f\xff\xff\xff" * 2,
        LABELS,
        "says it has the shape [40, 2147483647, 2147483647], but must",
    ),
    "no labels": (IMAGES, None, "train-images-idx3-ubyte has no labels, but needs train-labels-idx1-ubyte beside it"),
    "other count": (
        IMAGES,
        struct.pack(">4Bi", 0, 0, 8, 1, 39) + bytes(39),
        "train-labels-idx1-ubyte holds 39 labels, but must hold 40, one for each image",
    ),
}


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("name", REFUSED)
def test_refuses_by_place_and_mend(name: str, suffix: str, tmp_path: Path, refusal: Callable[..., str]) -> None:
    images, labels, words = REFUSED[name]
    message = refusal(written(tmp_path / "data", images, labels, suffix=suffix))
    assert words in message.replace("ubyte.gz", "ubyte")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_single_pair_by_its_images_file(suffix: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "data", IMAGES, LABELS, suffix=suffix)
    built = build_dataset(folder / f"train-images-idx3-ubyte{suffix}", tmp_path / "out")
    assert built.schema.features[0].shape == (4, 5) and built.schema.labels == (0, 1)
    expected = {image.tobytes(): i % 2 for i, image in enumerate(PIXELS)}
    for file in built.files.values():
        rows = read_split(file, built.schema)
        for image, label in zip(rows.inputs["image"], rows.target, strict=True):
            assert expected.pop(image.tobytes()) == label
    assert not expected


def test_colour_images_have_four_axes(tmp_path: Path) -> None:
    images = struct.pack(">4B4i", 0, 0, 8, 4, 40, 2, 2, 3) + bytes(range(240)) * 2
    built = build_dataset(written(tmp_path / "data", images, LABELS), tmp_path / "out")
    assert built.schema.features[0].shape == (2, 2, 3)


def test_refuses_sides_of_different_size(tmp_path: Path, refusal: Callable[..., str]) -> None:
    written(tmp_path / "data", IMAGES, LABELS)
    wide = struct.pack(">4B3i", 0, 0, 8, 3, 40, 5, 4) + PIXELS.tobytes()
    written(tmp_path / "data", wide, LABELS, side="t10k")
    assert "t10k-images-idx3-ubyte holds images (5, 4), but must hold (4, 5) like train-images" in refusal(
        tmp_path / "data"
    )


def test_reads_mnist_with_its_own_test_split(tmp_path: Path) -> None:
    source = Path(__file__).parents[4] / "shared" / "data" / "mnist"
    if not source.exists():
        pytest.skip("../shared/data is absent")
    built = build_dataset(source, tmp_path, split_by="given")
    assert built.rows["test"] == 10_000 and built.rows["train"] + built.rows["validation"] == 60_000
    assert built.schema.labels == tuple(range(10)) and built.schema.features[0].shape == (28, 28)
    mean, scale = built.encoding.features[0].mean[0], built.encoding.features[0].scale[0]
    assert mean == pytest.approx(0.1307, abs=0.001) and scale == pytest.approx(0.3081, abs=0.001)
