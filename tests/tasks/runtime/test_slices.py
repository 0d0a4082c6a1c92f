from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.runtime import slices
from tasks.runtime.slices import cuts_of, run_in_slices

texts = st.lists(st.integers(0, 5).map(lambda blanks: " ".join(["w"] * (blanks * 20_000 + 1))), min_size=1, max_size=30)


@given(texts)
def test_no_slice_of_texts_pads_to_more_words_than_allowed_and_none_could_hold_one_more(rows):
    counts = [row.count(" ") + 1 for row in rows]
    cuts = cuts_of({"text": np.array(rows, dtype=object)})
    assert (cuts[0], cuts[-1], cuts) == (0, len(rows), sorted(set(cuts)))
    for start, end in pairwise(cuts):
        assert end - start == 1 or (end - start) * max(counts[start:end]) <= slices.MOST_WORDS
        if end < len(rows):
            assert (end - start + 1) * max(counts[start : end + 1]) > slices.MOST_WORDS


@pytest.mark.parametrize(
    ("rows", "pixels", "sizes"), [(1, 9, [1]), (2500, 1, [1024, 1024, 452]), (5, 2**19, [2, 2, 1])]
)
def test_slices_of_numbers_are_bounded_in_rows_and_values(rows, pixels, sizes):
    cuts = cuts_of({"image": np.zeros((rows, pixels), np.uint8)})
    assert np.diff(cuts).tolist() == sizes


def test_a_row_that_is_too_large_by_itself_is_run_alone():
    assert cuts_of({"image": np.zeros((2, 2**21), np.uint8)}) == [0, 1, 2]


class Doubles:
    """Answers each row twice its value and its words, and remembers the batches it got."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def run(self, inputs):
        self.batches.append(len(inputs["x"]))
        return {"y": inputs["x"] * 2, "words": np.array([text.count(" ") + 1 for text in inputs["text"]])}


@given(st.lists(st.tuples(st.floats(-9, 9), st.sampled_from(["a", "a b", "a b c"])), min_size=1, max_size=30))
def test_a_batch_in_slices_is_answered_as_in_one_piece(rows):
    numbers, texts = zip(*rows, strict=True)
    inputs = {"x": np.array(numbers, np.float32), "text": np.array(texts, dtype=object)}
    session = Doubles()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "MOST_ROWS", 4)
        pieces = run_in_slices(session, inputs)
    assert max(session.batches) <= 4 and sum(session.batches) == len(rows)
    for name, whole in Doubles().run(inputs).items():
        np.testing.assert_array_equal(pieces[name], whole)
