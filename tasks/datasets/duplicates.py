"""Rows that occur more than once, counted within a memory that does not grow with the data."""

import numpy as np

from tasks.datasets.splits import SIDES, TEST, TRAIN, VALIDATION

MOST_KEPT = 1 << 22
"""Fingerprints in memory, 9 bytes each; beyond, only those in the lower half of the range are kept, and so on."""


def distinct(values: np.ndarray) -> int:
    """How many different values there are, by sorting: numpy's own `unique` hashes, ten times slower on a million."""
    ordered = np.sort(values)
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + min(len(ordered), 1)


def _found(values: np.ndarray, ordered: np.ndarray) -> int:
    """How many of the values stand among the ordered ones."""
    if not len(ordered):
        return 0
    wanted = np.sort(values)
    places = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return int(np.count_nonzero(ordered[places] == wanted))


class Duplicates:
    """Fingerprints of rows and their sides: exact up to 4,194,304 rows, then a sample of the distinct contents."""

    def __init__(self) -> None:
        """Starts empty."""
        self._contents: list[np.ndarray] = []
        self._sides: list[np.ndarray] = []
        self._kept = 0
        self._halvings = 0

    def add(self, contents: np.ndarray, sides: np.ndarray) -> None:
        """Adds the fingerprints (N,) uint64 and sides (N,) of a batch."""
        kept = self._sampled(contents)
        self._contents.append(contents[kept])
        self._sides.append(sides[kept].astype(np.int8))
        self._kept += int(kept.sum())
        while self._kept > MOST_KEPT:
            self._halvings += 1
            self._thin()

    def warnings(self) -> tuple[str, ...]:
        """One sentence for repeated rows, and one for each pair of splits that share contents."""
        if not self._contents:
            return ()
        contents, sides = np.concatenate(self._contents), np.concatenate(self._sides)
        found = []
        repeated = len(contents) - distinct(contents)
        if repeated:
            found.append(f"{self._count(repeated)} repeat an earlier row")
        for side, other in ((VALIDATION, TRAIN), (TEST, TRAIN), (TEST, VALIDATION)):
            held = contents[sides == side]
            shared = _found(held, np.sort(contents[sides == other]))
            if shared:
                share = 100 * shared / len(held)
                found.append(
                    f"{self._count(shared)} of the {SIDES[side]} split also stand in {SIDES[other]} ({share:.1f} %)"
                )
        return tuple(found)

    def _sampled(self, contents: np.ndarray) -> np.ndarray:
        if not self._halvings:
            return np.ones(len(contents), dtype=bool)
        return contents < np.uint64(1) << np.uint64(64 - self._halvings)

    def _thin(self) -> None:
        contents, sides = np.concatenate(self._contents), np.concatenate(self._sides)
        kept = self._sampled(contents)
        self._contents, self._sides, self._kept = [contents[kept]], [sides[kept]], int(kept.sum())

    def _count(self, rows: int) -> str:
        scaled = rows << self._halvings
        return f"{'about ' if self._halvings else ''}{scaled} row{'s' if scaled > 1 else ''}"
