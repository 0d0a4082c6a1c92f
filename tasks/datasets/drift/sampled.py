"""Rows that the server sampled of its requests: JSON lines, by day, an image as nested lists."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from math import prod
from typing import Any

import numpy as np
import orjson

from tasks.contracts.schema import Feature, Schema
from tasks.contracts.signature import signature_of
from tasks.datasets.drift.batch import Batch, finite
from tasks.datasets.source import batch_rows

TIME = "ingot_time"
UNFIT = object()


class Sampled:
    """The samples of a model since a moment.

    Args:
        model: Its name.
        schema: Of the champion; rows that do not fit it were answered by another version, and are left out.
        since: With its time zone.
        until: With its time zone.
    """

    def __init__(self, model: str, schema: Schema, since: datetime, until: datetime) -> None:
        self.left_out = 0
        """Rows that do not fit the champion's schema."""
        self._prefix = f"samples/{model}/"
        self._features = schema.features
        tensors = signature_of(schema).inputs
        alone = len(tensors) == 1 and schema.features[0].kind in ("image", "text")
        self._keys = [tensors[0].name] if alone else [feature.name for feature in schema.features]
        self._since, self._until = since, until
        self._most = batch_rows(sum(prod(feature.shape) * 8 for feature in self._features))

    def batches(self, keys: Callable[[str], Iterable[str]], read: Callable[[str], bytes | None]) -> Iterator[Batch]:
        """The rows, some at a time.

        Args:
            keys: The keys that begin so.
            read: The bytes at a key; None if they are gone meanwhile.
        """
        # A file bears the day of its first row, and may reach some seconds into the next.
        first, last = (f"{day.astimezone(UTC):%Y-%m-%d}" for day in (self._since - timedelta(days=1), self._until))
        for key in keys(self._prefix):
            if first <= key.removeprefix(self._prefix)[:10] <= last:
                rows = self._rows(read(key) or b"")
                while some := list(islice(rows, self._most)):
                    yield self._batch(some)

    def _batch(self, rows: list[list[Any]]) -> Batch:
        columns = zip(self._features, zip(*rows, strict=True), strict=True)
        return Batch({feature.name: _stacked(cells, feature) for feature, cells in columns}, None)

    def _rows(self, content: bytes) -> Iterator[list[Any]]:
        for line in io.BytesIO(content):
            row = _parsed(line)
            if row is None or not self._in_time(row):
                continue
            cells = [_cell(row, key, feature) for key, feature in zip(self._keys, self._features, strict=True)]
            if any(cell is UNFIT for cell in cells):
                self.left_out += 1
            else:
                yield cells

    def _in_time(self, row: Mapping[str, Any]) -> bool:
        try:
            return self._since <= datetime.fromisoformat(row[TIME]) <= self._until
        except (KeyError, TypeError, ValueError):
            return False


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def _cell(row: Mapping[str, Any], key: str, feature: Feature) -> Any:
    """The value as the feature has it, or UNFIT."""
    value = row.get(key, UNFIT)
    match feature.kind:
        case "number":
            return np.nan if value is None else value if type(value) in (int, float) else UNFIT
        case "image":
            return _pixels(value, feature.shape)
    return "" if value is None else value if isinstance(value, str) else UNFIT


def _pixels(value: Any, shape: tuple[int, ...]) -> Any:
    try:
        levels = np.array(value)
    except ValueError:
        return UNFIT
    fits = levels.shape == shape and levels.dtype.kind == "i" and levels.min() >= 0 and levels.max() <= 255
    return levels.astype(np.uint8) if fits else UNFIT


def _stacked(cells: Sequence[Any], feature: Feature) -> np.ndarray:
    if feature.kind == "number":
        return finite(np.array(cells, dtype=np.float64))
    return np.stack(cells) if feature.kind == "image" else np.array(cells, dtype=object)
