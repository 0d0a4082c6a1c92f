import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.datasets import duplicates
from tasks.datasets.duplicates import Duplicates, distinct
from tasks.datasets.fingerprint import mixed


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), max_size=40))
def test_counts_what_sets_count(rows: list[tuple[int, int]]) -> None:
    found = Duplicates()
    for content, side in rows:
        found.add(np.array([content], dtype=np.uint64), np.array([side]))
    expected = []
    if repeated := len(rows) - len({content for content, _ in rows}):
        expected.append(f"{repeated} row{'s' if repeated > 1 else ''} repeat an earlier row")
    for code, name, other in ((1, "validation", "train"), (2, "test", "train"), (2, "test", "validation")):
        held = [content for content, side in rows if side == code]
        there = {content for content, side in rows if side == ("train", "validation").index(other)}
        if shared := sum(content in there for content in held):
            expected.append(
                f"{shared} row{'s' if shared > 1 else ''} of the {name} split also stand in {other} "
                f"({100 * shared / len(held):.1f} %)"
            )
    assert found.warnings() == tuple(expected)


def test_beyond_memory_the_counts_are_estimates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MOST_KEPT", 5000)
    found = Duplicates()
    contents = mixed(np.arange(50_000, dtype=np.uint64))
    for batch in np.array_split(np.concatenate([contents, contents[:20_000]]), 30):
        found.add(batch, np.zeros(len(batch)))
    (warning,) = found.warnings()
    assert warning.startswith("about ") and abs(int(warning.split()[1]) - 20_000) < 2000


@pytest.mark.parametrize("content", [3, 2**64 - 3])
def test_one_content_in_more_rows_than_memory_holds_is_counted_exactly(content, monkeypatch):
    monkeypatch.setattr(duplicates, "MOST_KEPT", 1000)
    found = Duplicates()
    for side in (0, 0, 2):
        for _ in range(10):
            found.add(np.full(500, content, dtype=np.uint64), np.full(500, side))
    assert found.warnings() == (
        "14999 rows repeat an earlier row",
        "5000 rows of the test split also stand in train (100.0 %)",
    )


@given(st.lists(st.floats(allow_nan=False)))
def test_distinct_counts_like_a_set(values: list[float]) -> None:
    assert distinct(np.array(values)) == len(set(values))
