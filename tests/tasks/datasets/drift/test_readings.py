"""A sample of any stream is fair, bounded and of whole rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tasks.contracts.schema import Encoding, Feature, NumberEncoding, Schema, TextEncoding
from tasks.datasets.drift.batch import Batch
from tasks.datasets.drift.readings import ANSWER, Sample, answers_read, columns_read, draw

PAIR = (Feature(name="a", kind="number"), Feature(name="b", kind="number", nullable=True))
NUMBERS = Schema(task="regression", features=PAIR, target="y")
TEXT = Schema(task="classification", features=(Feature(name="text", kind="text"),), target="label", labels=("x", "y"))


def stream(sizes):
    place = 0
    for size in sizes:
        yield Batch({"a": np.arange(place, place + size, dtype=np.float64)}, None)
        place += size


def both(batch: Batch) -> dict[str, np.ndarray]:
    return {"a": batch.columns["a"], "negative": -batch.columns["a"]}


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 60))
def test_as_many_rows_stay_as_may_and_each_stays_whole(sizes, most):
    sample = Sample(most)
    found = draw(stream(sizes), sample, both)
    assert sample.seen == sum(sizes)
    assert len(set(found["a"].tolist())) == len(found["a"]) == min(most, sum(sizes))
    assert (found["a"] == -found["negative"]).all()


def test_every_row_is_as_likely_to_stay_as_any_other():
    kept = np.concatenate([draw(stream([97] * 20), Sample(50, seed), both)["a"] for seed in range(200)])
    counts, _ = np.histogram(kept, 20, (0, 1940))
    assert stats.chisquare(counts).pvalue > 0.001


def test_few_rows_of_a_long_stream_are_ever_read():
    read = []
    draw(stream([1000] * 300), Sample(100), lambda batch: read.append(len(batch)) or both(batch))
    assert sum(read) < 3000 + 1000


def test_a_stream_of_nothing_reads_as_nothing():
    assert draw(iter(()), Sample(5), both) == {}


def test_an_image_is_read_as_its_brightness_and_a_text_as_its_number_of_words():
    image = Schema(task="classification", features=(Feature(name="image", kind="image", shape=(2, 2)),), target="label")
    pixels = np.array([[[0, 0], [0, 40]], [[255, 255], [255, 255]]], dtype=np.uint8)
    assert columns_read(Batch({"image": pixels}, None), image)["image: brightness"].tolist() == [10.0, 255.0]
    texts = np.array(["a b  c", ""], dtype=object)
    labels = np.array(["x", ""], dtype=object)
    found = columns_read(Batch({"text": texts}, labels), TEXT)
    assert found["text: words"].tolist() == [3.0, 0.0] and found["label"].tolist() == ["x", ""]


def test_words_that_training_never_saw_are_counted_as_a_share():
    encoding = Encoding(features=(TextEncoding(words=("where", "is"), length=4),))
    batch = Batch({"text": np.array(["Where is it", "so so", ""], dtype=object)}, None)
    found = answers_read(batch, TEXT, encoding, lambda inputs: {"label": np.array(["x"] * len(inputs["text"]))})
    assert found["text: unknown words"].tolist() == pytest.approx([1 / 3, 1.0, np.nan], nan_ok=True)
    assert found[ANSWER].tolist() == ["x"] * 3


def test_a_gap_that_the_graph_does_not_take_gets_no_answer():
    encoding = Encoding(features=(NumberEncoding(mean=0, scale=1),) * 2)
    batch = Batch({"a": np.array([1.0, np.nan, 3.0]), "b": np.array([np.nan, 1.0, 1.0])}, None)
    found = answers_read(batch, NUMBERS, encoding, lambda inputs: {"value": inputs["features"][:, :1]})
    assert found[ANSWER].tolist() == pytest.approx([1.0, np.nan, 3.0], nan_ok=True)
