from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.contracts.config import IngestConfig
from tasks.contracts.schema import CategoryEncoding, ImageEncoding, NumberEncoding, TextEncoding
from tasks.datasets.build import build_dataset
from tasks.datasets.preprocessing import build_preprocessor, encode
from tasks.datasets.reader import read_split


def written(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_numbers_are_fitted_on_training_rows_alone(tmp_path: Path) -> None:
    rows = [f"{i**2},7,{i % 3}" for i in range(300)]
    built = build_dataset(written(tmp_path / "d.csv", "a,c,label", *rows), tmp_path / "out")
    train = read_split(built.files["train"], built.schema).inputs["features"][:, 0].astype(np.float64)
    square, constant = built.encoding.features
    assert isinstance(square, NumberEncoding)
    assert square.mean == pytest.approx(train.mean(), rel=1e-12)
    assert square.scale == pytest.approx(train.std(), rel=1e-12)
    assert constant == NumberEncoding(mean=7, scale=1)


def test_missing_numbers_leave_mean_and_spread_alone(tmp_path: Path) -> None:
    rows = [f"{'' if i % 4 == 0 else i},{i % 3}" for i in range(300)]
    built = build_dataset(written(tmp_path / "d.csv", "a,label", *rows), tmp_path / "out", missing="mean")
    train = read_split(built.files["train"], built.schema).inputs["features"]
    (encoding,) = built.encoding.features
    assert isinstance(encoding, NumberEncoding)
    assert encoding.mean == pytest.approx(float(np.nanmean(train, dtype=np.float64)))
    encoded = encode(build_preprocessor(built.schema, built.encoding), {"features": train})
    assert np.isfinite(encoded).all() and (encoded[np.isnan(train)] == 0).all()


def test_a_constant_with_rounding_errors_has_scale_one(tmp_path: Path) -> None:
    rows = [f"0.1,{i},{i % 3}" for i in range(300)]
    built = build_dataset(written(tmp_path / "d.csv", "a,b,label", *rows), tmp_path / "out")
    assert isinstance(built.encoding.features[0], NumberEncoding) and built.encoding.features[0].scale == 1


def test_a_spread_that_float32_rounds_to_zero_has_scale_one(tmp_path: Path) -> None:
    rows = [f"{'1e-45' if i % 2 else '0.0'},{i},{i % 3}" for i in range(300)]
    built = build_dataset(written(tmp_path / "d.csv", "a,b,label", *rows), tmp_path / "out")
    assert isinstance(built.encoding.features[0], NumberEncoding) and built.encoding.features[0].scale == 1


def test_the_regression_target_is_standardised(tmp_path: Path) -> None:
    built = build_dataset(written(tmp_path / "d.csv", "a,y", *(f"{i},{i * 2.5}" for i in range(300))), tmp_path / "out")
    target = read_split(built.files["train"], built.schema).target
    assert built.encoding.target is not None
    assert built.encoding.target.mean == pytest.approx(target.mean())
    assert built.encoding.target.scale == pytest.approx(target.std())


def test_categories_are_the_training_words_in_order(tmp_path: Path) -> None:
    rows = [f"{('b', 'å', '', 'A')[i % 4]},{i},{i % 3}" for i in range(300)]
    built = build_dataset(written(tmp_path / "d.csv", "w,b,label", *rows), tmp_path / "out", missing="mean")
    assert built.encoding.features[0] == CategoryEncoding(values=("", "A", "b", "å"))


def test_words_go_by_frequency_then_alphabet_from_training_alone(tmp_path: Path) -> None:
    lines = [f"{'ab'[i % 2]}\tThe word{i} the åæ zebra apple" for i in range(100)]
    built = build_dataset(written(tmp_path / "d.txt", *lines), tmp_path / "out")
    (encoding,) = built.encoding.features
    assert isinstance(encoding, TextEncoding)
    texts = read_split(built.files["train"], built.schema).inputs["text"]
    counts = Counter(word for text in texts for word in text.lower().split())
    assert encoding.words == tuple(word for word, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0])))
    assert encoding.words[:4] == ("the", "apple", "zebra", "åæ")


@pytest.mark.parametrize(("count", "length"), [(1, 4), (30, 30), (400, 256)])
def test_length_is_the_usual_token_count_within_bounds(count: int, length: int, tmp_path: Path) -> None:
    lines = [f"{'ab'[i % 2]} {' '.join(f'w{i}' for _ in range(count))}" for i in range(100)]
    built = build_dataset(written(tmp_path / "d.txt", *lines), tmp_path / "out")
    (encoding,) = built.encoding.features
    assert isinstance(encoding, TextEncoding) and encoding.length == length


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_are_standardised_like_numpy_does(channels: int, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 200, (90, 5, 4, channels), dtype=np.uint8)
    images[..., 0] //= 2
    np.savez(tmp_path / "d.npz", x=images, y=np.arange(90) % 2)
    built = build_dataset(tmp_path / "d.npz", tmp_path / "out")
    (encoding,) = built.encoding.features
    assert isinstance(encoding, ImageEncoding)
    train = read_split(built.files["train"], built.schema).inputs["image"] / 255
    np.testing.assert_allclose(encoding.mean, train.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(encoding.scale, train.std(axis=(0, 1, 2)), rtol=1e-12)


@pytest.mark.parametrize(("scaling", "highest"), [("unit", 1.0), ("none", 255.0)])
def test_pixels_reach_the_network_as_they_are_asked_for(scaling: Any, highest: float, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (90, 5, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x=images, y=np.arange(90) % 2)
    built = build_dataset(tmp_path / "d.npz", tmp_path / "out", scaling=scaling)
    raw = read_split(built.files["train"], built.schema).inputs["image"]
    encoded = encode(build_preprocessor(built.schema, built.encoding), {"image": raw})
    np.testing.assert_allclose(encoded, raw.transpose(0, 3, 1, 2) / 255 * highest, rtol=1e-6)


def test_numbers_that_are_not_scaled_reach_the_network_bit_for_bit(tmp_path: Path) -> None:
    rows = [f"{i**2 / 7},{i % 3}" for i in range(300)]
    built = build_dataset(written(tmp_path / "d.csv", "a,label", *rows), tmp_path / "out", scaling="none")
    raw = read_split(built.files["train"], built.schema).inputs["features"]
    np.testing.assert_array_equal(encode(build_preprocessor(built.schema, built.encoding), {"features": raw}), raw)


def test_means_cannot_fill_cells_where_none_are_kept() -> None:
    with pytest.raises(ValidationError, match="missing is mean, but scaling none keeps no means: set missing to drop"):
        IngestConfig(missing="mean", scaling="none")
