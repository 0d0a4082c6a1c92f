import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.datasets import summary
from tasks.datasets.summary import ImageSummary, NumberSummary, TextSummary


@given(
    st.lists(st.lists(st.floats(-1e9, 1e9) | st.just(float("nan")), max_size=20), min_size=1, max_size=8),
    st.integers(1, 5),
)
def test_batches_merge_to_what_numpy_gives_at_once(batches: list[list[float]], stride: int) -> None:
    merged = NumberSummary(stride)
    for batch in batches:
        merged.update(np.array(batch, dtype=np.float64))
    whole = np.array([value for batch in batches for value in batch], dtype=np.float64)
    present = whole[~np.isnan(whole)]
    assert merged.count == len(present) and merged.missing == len(whole) - len(present)
    sampled = whole[::stride]
    assert merged.sample.tolist() == sampled[~np.isnan(sampled)].tolist()
    if len(present):
        assert merged.mean == pytest.approx(present.mean(), rel=1e-9, abs=1e-6)
        assert merged.std == pytest.approx(present.std(), rel=1e-6, abs=1e-3)


def test_a_small_spread_around_a_large_mean_is_kept() -> None:
    values = 1e9 + np.random.default_rng(0).normal(size=100_000)
    merged = NumberSummary()
    for batch in np.array_split(values, 37):
        merged.update(batch)
    assert merged.std == pytest.approx(values.std(), rel=1e-6)


def test_the_rarest_words_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "MOST_WORDS", 3)
    text = TextSummary()
    text.update(np.array(["a a a b b c d", "e f g a"], dtype=object))
    assert text.words == {"a": 4, "b": 2, "c": 1}


def test_levels_are_counted_by_channel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 5, 3), dtype=np.uint8)
    merged = ImageSummary((4, 5, 3))
    for batch in np.array_split(images, 3):
        merged.update(batch)
    for channel in range(3):
        assert merged.levels[channel].tolist() == np.bincount(images[..., channel].ravel(), minlength=256).tolist()
    assert merged.brightness.mean == pytest.approx(images.mean())
