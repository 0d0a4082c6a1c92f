"""A batch in pieces that keep memory in bounds: what a graph makes of its input can be far larger than the input.

A text graph pads every row to the longest (200 short texts beside one of 100,000 words took 1 GB and 4.5 s), and a
convolution makes 64 and more numbers of a pixel. So a batch is run slice by slice; a single row is never cut.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np

from tasks.runtime.latency import Runs

MOST_ROWS = 1024
MOST_VALUES = 2**20
"""Numbers or pixels of a slice."""
MOST_WORDS = 2**18
"""Words of a slice, each row counted as long as the longest: a word is a string of 32 bytes and more."""


def run_in_slices(session: Runs, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Answers a batch of any size.

    Args:
        session: What answers.
        inputs: Arrays of equally many rows.
    """
    cuts = list(pairwise(cuts_of(inputs)))
    if len(cuts) == 1:
        return dict(session.run(inputs))
    parts = [session.run({name: array[start:end] for name, array in inputs.items()}) for start, end in cuts]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def cuts_of(inputs: Mapping[str, np.ndarray]) -> list[int]:
    """Where slices begin, and the number of rows at the end.

    >>> cuts_of({"text": np.array(["a", "b " * 200_000, "c"], dtype=object)})
    [0, 1, 2, 3]
    """
    rows = len(next(iter(inputs.values())))
    values = sum(array[0].size for array in inputs.values() if array.dtype != object)
    most_rows = max(1, min(MOST_ROWS, MOST_VALUES // max(values, 1)))
    strings = [array for array in inputs.values() if array.dtype == object]
    if not strings:
        return [*range(0, rows, most_rows), rows]
    words = [max(text.count(" ") + 1 for text in row) for row in zip(*strings, strict=True)]
    return [*_starts(words, most_rows), rows]


def _starts(words: list[int], most_rows: int) -> Iterator[int]:
    start = longest = 0
    for row, count in enumerate(words):
        longest = max(longest, count)
        if row == 0 or row - start == most_rows or (row - start + 1) * longest > MOST_WORDS:
            yield row
            start, longest = row, count
