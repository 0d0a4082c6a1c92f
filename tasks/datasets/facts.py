"""What is learnt of every column while the rows stream by: enough to refuse the data by place, or to name its type."""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.datasets.column_types import is_number, is_words, numbers
from tasks.datasets.labels import is_missing

MOST_VALUES = 1000
"""Distinct values that are counted one by one; a column with more is not held as categories or classes."""
LARGEST = float(np.finfo(np.float32).max)


class Place(NamedTuple):
    """Where a cell stands; rows count from 1, without the header."""

    row: int
    file: str

    def __str__(self) -> str:
        return f"row {self.row} of {self.file}"


def missing_cells(array: pa.Array) -> np.ndarray | None:
    """A mask of empty cells: null, NaN, or the empty string; None if there are none."""
    if is_words(array.type):
        if not array.null_count and len(array) and pc.min(pc.binary_length(array)).as_py() > 0:
            return None
        mask = np.asarray(pc.fill_null(pc.equal(array, ""), True))
    elif pa.types.is_floating(array.type):
        mask = np.isnan(numbers(array))
    elif array.null_count:
        mask = np.asarray(array.is_null())
    else:
        return None
    return mask if mask.any() else None


class ColumnFacts:
    """One column, over all rows that were kept."""

    def __init__(self, field: pa.Field, counted: bool) -> None:
        """Starts empty; `counted` says whether its distinct values are wanted."""
        self.name: str = field.name
        self.type: pa.DataType = field.type
        self.rows = 0
        self.missing = 0
        self.first_missing: Place | None = None
        self.infinite: tuple[Place, float] | None = None
        self.low, self.high = np.inf, -np.inf
        self.fraction: float | None = None
        """The first value that is not whole."""
        self.values: Counter[Any] | None = Counter() if counted else None
        """How often each value occurs; None if there are more than 1,000, or if they are not counted."""
        self.spaced = 0
        """Strings with a blank inside, among the first 1,000 distinct ones."""

    def note_missing(self, mask: np.ndarray, rows: np.ndarray, file: str) -> None:
        """Adds empty cells, which stand at these row numbers."""
        self.missing += int(mask.sum())
        if self.first_missing is None:
            self.first_missing = Place(int(rows[int(mask.argmax())]), file)

    def update(self, array: pa.Array, rows: np.ndarray, file: str) -> None:
        """Adds a batch of cells, which stand at these row numbers."""
        self.rows += len(array)
        if is_number(self.type) or pa.types.is_boolean(self.type):
            self._update_numbers(numbers(array), rows, file)
        if self.values is not None:
            self._count(array)

    def _update_numbers(self, values: np.ndarray, rows: np.ndarray, file: str) -> None:
        low, high = np.fmin.reduce(values, initial=np.inf), np.fmax.reduce(values, initial=-np.inf)
        if (low < -LARGEST or high > LARGEST) and self.infinite is None:
            place = int((np.abs(values) > LARGEST).argmax())
            self.infinite = Place(int(rows[place]), file), float(values[place])
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))
        if self.values is not None and self.fraction is None and pa.types.is_floating(self.type):
            broken = (values != np.trunc(values)) & np.isfinite(values)
            if broken.any():
                self.fraction = float(values[broken.argmax()])

    def _count(self, array: pa.Array) -> None:
        counted = pc.value_counts(array)
        if len(counted) > MOST_VALUES and not is_words(self.type):
            self.values = None
            return
        values = self.values if self.values is not None else Counter()
        for value, count in zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True):
            if not is_missing(value):
                values[value] += count
            if len(values) > MOST_VALUES:
                self.values = None
                self.spaced = sum(" " in str(known).strip() for known in values)
                return
