"""What is measured of rows: their columns as they are, a text's words, an image's brightness, the champion's answers.

Of any number of rows a random sample is kept, each row as likely as any other: every row draws a number, and the
lowest stay. The graph answers only rows that were drawn, so a source of any size costs one reading.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from tasks.contracts.schema import Encoding, Schema, TextEncoding
from tasks.datasets.drift.batch import Batch
from tasks.datasets.preprocessing import tokens

ANSWER = ""
"""What the champion's answer is read under: no column has this name."""
Readings = dict[str, np.ndarray]
Answer = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


class Sample:
    """At most so many rows, drawn from as many as come.

    Args:
        most: Rows to keep.
        seed: Fixes the draw.
    """

    def __init__(self, most: int, seed: int = 0) -> None:
        self.seen = 0
        """Rows that came."""
        self._most = most
        self._draw = np.random.default_rng(seed)
        self._limit = 1.0
        self._keys: list[np.ndarray] = []
        self._kept: list[Readings] = []
        self._size = 0

    def choose(self, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Which of the next rows may stay, and the numbers that they drew; hand both to `add`."""
        self.seen += rows
        keys = self._draw.random(rows)
        places = np.flatnonzero(keys < self._limit)
        return places, keys[places]

    def add(self, keys: np.ndarray, readings: Readings) -> None:
        """Keeps what was read of chosen rows."""
        self._keys.append(keys)
        self._kept.append(readings)
        self._size += len(keys)
        if self._size > 2 * self._most:
            self._thin_out()

    def readings(self) -> Readings:
        """What was kept, rows in no order."""
        self._thin_out()
        return self._kept[0] if self._kept else {}

    def _thin_out(self) -> None:
        if not self._kept:
            return
        keys = np.concatenate(self._keys)
        together = {name: np.concatenate([one[name] for one in self._kept]) for name in self._kept[0]}
        if len(keys) > self._most:
            lowest = np.argpartition(keys, self._most)[: self._most]
            keys, together = keys[lowest], {name: values[lowest] for name, values in together.items()}
            self._limit = float(keys.max())
        self._keys, self._kept, self._size = [keys], [together], len(keys)


def draw(batches: Iterable[Batch], sample: Sample, read: Callable[[Batch], Readings]) -> Readings:
    """Reads a sample of all rows."""
    for batch in batches:
        places, keys = sample.choose(len(batch))
        if len(places):
            sample.add(keys, read(batch.take(places)))
    return sample.readings()


def columns_read(batch: Batch, schema: Schema) -> Readings:
    """Features and, where it is there, the target; names of a feature's parts follow a colon."""
    read: Readings = {}
    for feature in schema.features:
        column = batch.columns[feature.name]
        match feature.kind:
            case "image":
                read[f"{feature.name}: brightness"] = column.reshape(len(column), -1).mean(axis=1, dtype=np.float64)
            case "text":
                read[f"{feature.name}: words"] = np.array([len(found) for found in tokens(column)], dtype=np.float64)
            case _:
                read[feature.name] = column
    if batch.target is not None:
        read[schema.target] = batch.target
    return read


def answers_read(batch: Batch, schema: Schema, encoding: Encoding, answer: Answer) -> Readings:
    """The champion's answers, and of a text the share of words that training never saw.

    Rows with a gap that the graph does not take get no answer: NaN or ''.
    """
    outputs = answer(batch.inputs(schema))
    gaps = np.zeros(len(batch), dtype=bool)
    for feature in schema.features:
        if feature.kind == "number" and not feature.nullable:
            gaps |= np.isnan(batch.columns[feature.name])
    if "label" in outputs:
        found = np.array([str(label) for label in outputs["label"].reshape(-1).tolist()], dtype=object)
        read: Readings = {ANSWER: np.where(gaps, "", found)}
    else:
        read = {ANSWER: np.where(gaps, np.nan, outputs["value"].reshape(-1).astype(np.float64))}
    for feature, known in zip(schema.features, encoding.features, strict=True):
        if isinstance(known, TextEncoding):
            read[f"{feature.name}: unknown words"] = _unknown(batch.columns[feature.name], frozenset(known.words))
    return read


def _unknown(texts: np.ndarray, known: frozenset[str]) -> np.ndarray:
    """The share of each text's words that are not known; NaN for a text without words."""
    found = tokens(texts)
    return np.array([np.mean([word not in known for word in text]) if text else np.nan for text in found])
