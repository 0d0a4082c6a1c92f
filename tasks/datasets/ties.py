"""Features that give the target away without being equal to it, found in the training rows within bounded memory.

Words, and numbers of few values, are held against classes by lambda (Goodman, Kruskal 1954): which share of the errors
of always guessing the usual class goes away; other numbers by the correlation ratio: which share of their variance
lies between the classes. A numeric target is held against numbers by the square of Pearson's r.
"""

from collections import Counter
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.contracts.schema import Schema
from tasks.datasets.column_types import numbers
from tasks.datasets.labels import as_label, is_missing

STRONG = 0.999
FEW_VALUES = 100
FEWEST_ROWS = 20
ROWS_A_VALUE = 5
"""A value that stands in fewer rows than this on average says nothing about the next ones."""
MOST_COLUMNS = 1000


class Ties:
    """How far each feature alone tells the target."""

    def __init__(self, schema: Schema, spared: Collection[str] = ()) -> None:
        """Starts empty; `spared` are features that are known to be equal to the target."""
        self._target = schema.target
        self._places = {label: place for place, label in enumerate(schema.labels)}
        kinds = {feature.name: feature.kind for feature in schema.features if feature.name not in spared}
        plain = {name: kind for name, kind in kinds.items() if kind in ("number", "category")}
        plain = plain if len(plain) <= MOST_COLUMNS else {}
        self._tables = {name: _Table(len(schema.labels)) for name in plain} if schema.labels else {}
        self._spreads = {name: _Spread(len(schema.labels)) for name, kind in plain.items() if kind == "number"}

    def update(self, batch: pa.RecordBatch) -> None:
        """Adds a batch of training rows."""
        if not batch.num_rows or not (self._tables or self._spreads):
            return
        target = batch.column(self._target)
        aim = self._classes(target) if self._places else numbers(target)
        for name in tuple(self._tables):
            if not self._tables[name].update(batch.column(name), aim):
                del self._tables[name]
        for name, spread in self._spreads.items():
            spread.update(numbers(batch.column(name)), aim)

    def warnings(self) -> tuple[str, ...]:
        """One sentence for each feature that tells the target almost alone."""
        names = dict.fromkeys([*self._spreads, *self._tables])
        told = {
            name: self._tables[name].share() if name in self._tables else self._spreads[name].share() for name in names
        }
        return tuple(
            f"feature {name!r} alone tells the target to {100 * share:.2f} %: a label leak?"
            for name, share in told.items()
            if share >= STRONG
        )

    def _classes(self, target: pa.Array) -> np.ndarray:
        encoded = pc.dictionary_encode(target)
        places = np.asarray([self._places[as_label(value)] for value in encoded.dictionary.to_pylist()])
        found: np.ndarray = places[np.asarray(encoded.indices)]
        return found


class _Table:
    """How often each of a few values stands with each class."""

    def __init__(self, classes: int) -> None:
        self._counts: dict[object, np.ndarray] = {}
        self._classes = classes

    def update(self, cells: pa.Array, classes: np.ndarray) -> bool:
        """Adds a batch; false if there are too many values."""
        encoded = pc.dictionary_encode(cells, null_encoding="encode")
        values = encoded.dictionary.to_pylist()
        if len(values) > FEW_VALUES:
            return False
        joint = np.asarray(encoded.indices) * self._classes + classes  # one scan, however many values
        table = np.bincount(joint, minlength=len(values) * self._classes).reshape(-1, self._classes)
        for value, counted in zip(values, table, strict=True):
            key = None if is_missing(value) else value
            self._counts[key] = self._counts.get(key, 0) + counted
        return len(self._counts) <= FEW_VALUES

    def share(self) -> float:
        """Lambda; 0 where there are too few rows to tell."""
        right = sum(int(counts.max()) for counts in self._counts.values())
        classes: Counter[int] = Counter()
        for counts in self._counts.values():
            classes.update(dict(enumerate(counts.tolist())))
        rows, usual = classes.total(), max(classes.values(), default=0)
        if rows < max(FEWEST_ROWS, ROWS_A_VALUE * len(self._counts)) or rows == usual:
            return 0.0
        return (right - usual) / (rows - usual)


class _Spread:
    """Sums by class of one column of numbers, or with a target of numbers, from which a share of variance follows."""

    def __init__(self, classes: int) -> None:
        self._sums = np.zeros((3, max(classes, 1)))
        """Rows, sums and squares of each class."""
        self._classes = classes
        self._cross = np.zeros(3)
        """With a target of numbers: its sum, its squares, and the products."""
        self._origin: tuple[float, float] | None = None

    def update(self, values: np.ndarray, aim: np.ndarray) -> None:
        """Adds a batch of numbers, and of classes or numbers beside them."""
        present = ~np.isnan(values)
        values, aim = values[present], aim[present]
        if not len(values):
            return
        if self._origin is None:  # sums around a typical value lose no digits
            self._origin = float(values.mean()), float(aim.mean())
        values = values - self._origin[0]
        if self._classes:
            each = (None, values, np.square(values))
            self._sums += [np.bincount(aim, weights, minlength=self._classes) for weights in each]
        else:
            aim = aim - self._origin[1]
            self._sums[:, 0] += len(values), values.sum(), np.square(values).sum()
            self._cross += aim.sum(), np.square(aim).sum(), (values * aim).sum()

    def share(self) -> float:
        """The correlation ratio squared, or r squared; 0 where there are too few rows, or no variance."""
        count, total, squares = self._sums.sum(axis=1)
        if count < max(FEWEST_ROWS, ROWS_A_VALUE * self._classes):
            return 0.0
        variance = squares - total**2 / count
        if variance <= 1e-12 * squares:
            return 0.0
        if self._classes:
            held = self._sums[0] > 0
            between = (np.square(self._sums[1][held]) / self._sums[0][held]).sum() - total**2 / count
            return float(between / variance)
        aim, aim_squares, products = self._cross
        aim_variance = aim_squares - aim**2 / count
        return float((products - total * aim / count) ** 2 / (variance * aim_variance)) if aim_variance > 0 else 0.0
