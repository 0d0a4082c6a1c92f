"""Rows that occur more than once, counted within a memory that does not grow with the data."""

import numpy as np

from tasks.datasets.splits import SIDES, TEST, TRAIN, VALIDATION

MOST_KEPT = 1 << 22
"""Contents in memory, 12 bytes each (one on two sides counts as two), and a quarter as many rows that wait to be
counted; beyond, only the contents in the lower half of the range are kept, and so on."""


def distinct(values: np.ndarray) -> int:
    """How many different values there are, by sorting: numpy's own `unique` hashes, ten times slower on a million."""
    ordered = np.sort(values)
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + min(len(ordered), 1)


def _found(values: np.ndarray, ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each of the values stands among the ordered ones, or would, and whether it does."""
    places = np.searchsorted(ordered, values)
    there = places < len(ordered)
    there[there] = ordered[places[there]] == values[there]
    return places, there


class Duplicates:
    """How often each content stands on each side: exact while memory holds them all, then of a sample of contents."""

    def __init__(self) -> None:
        """Starts empty."""
        self._known = np.zeros(0, np.uint64)
        """Each content with its side in the lowest two bits, in order; 62 bits still tell contents apart."""
        self._rows = np.zeros(0, np.uint32)
        self._coming: list[np.ndarray] = []
        self._waiting = 0
        self._halvings = 0

    def add(self, contents: np.ndarray, sides: np.ndarray) -> None:
        """Adds the fingerprints (N,) uint64 and sides (N,) of a batch."""
        found = contents << np.uint64(2) | sides.astype(np.uint64)
        found = found[self._sampled(found)]
        self._coming.append(found)
        self._waiting += len(found)
        if self._waiting > MOST_KEPT // 4:
            self._merge()

    def warnings(self) -> tuple[str, ...]:
        """One sentence for repeated rows, and one for each pair of splits that share contents."""
        self._merge()
        contents, sides = self._known >> np.uint64(2), self._known & np.uint64(3)
        found = []
        repeated = int(self._rows.sum(dtype=np.int64)) - distinct(contents)
        if repeated:
            found.append(f"{self._count(repeated)} repeat an earlier row")
        for side, other in ((VALIDATION, TRAIN), (TEST, TRAIN), (TEST, VALIDATION)):
            rows = self._rows[sides == side].astype(np.int64)
            _, there = _found(contents[sides == side], contents[sides == other])
            shared = int(rows[there].sum())
            if shared:
                share = 100 * shared / rows.sum()
                found.append(
                    f"{self._count(shared)} of the {SIDES[side]} split also stand in {SIDES[other]} ({share:.1f} %)"
                )
        return tuple(found)

    def _sampled(self, found: np.ndarray) -> np.ndarray:
        if not self._halvings:
            return np.ones(len(found), dtype=bool)
        return found < np.uint64(1) << np.uint64(64 - self._halvings)

    def _merge(self) -> None:
        """Counts the rows that wait: a content takes the same room however frequent it is."""
        if not self._coming:
            return
        fresh, rows = np.unique(np.concatenate(self._coming), return_counts=True)
        rows = rows.astype(np.uint32)
        places, there = _found(fresh, self._known)
        self._rows[places[there]] += rows[there]
        self._known = np.insert(self._known, places[~there], fresh[~there])
        self._rows = np.insert(self._rows, places[~there], rows[~there])
        self._coming, self._waiting = [], 0
        while len(self._known) > MOST_KEPT:
            self._halvings += 1
            kept = self._sampled(self._known)
            self._known, self._rows = self._known[kept], self._rows[kept]

    def _count(self, rows: int) -> str:
        scaled = rows << self._halvings
        return f"{'about ' if self._halvings else ''}{scaled} row{'s' if scaled > 1 else ''}"
