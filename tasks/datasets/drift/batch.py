"""Raw rows column by column, whichever way they came: the form in which both sides are measured."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tasks.contracts.schema import Feature, Schema
from tasks.contracts.signature import signature_of
from tasks.datasets.column_types import is_words, numbers
from tasks.datasets.facts import LARGEST
from tasks.datasets.labels import as_label, is_missing
from tasks.datasets.reader import raw_values


@dataclass(frozen=True)
class Batch:
    """Some rows."""

    columns: Mapping[str, np.ndarray]
    """By feature: float64 (N,) with NaN, object (N,) of str with '', or uint8 (N, H, W) or (N, H, W, C)."""
    target: np.ndarray | None
    """As a number or a category; None where there are no labels."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, places: np.ndarray) -> "Batch":
        """The rows at these places."""
        target = None if self.target is None else self.target[places]
        return Batch({name: column[places] for name, column in self.columns.items()}, target)

    def inputs(self, schema: Schema) -> dict[str, np.ndarray]:
        """The tensors that the champion's graph takes."""
        tensors = signature_of(schema).inputs
        columns = [self.columns[feature.name] for feature in schema.features]
        if tensors[0].name == "features" and schema.features[0].kind == "number" and len(tensors) == 1:
            return {"features": np.stack(columns, axis=1).astype(np.float32)}
        fed = [column.astype(np.float32) if column.dtype == np.float64 else column for column in columns]
        return {tensor.name: column for tensor, column in zip(tensors, fed, strict=True)}


def batch_of(rows: pa.RecordBatch, schema: Schema) -> Batch:
    """A batch of a source or of a split file, whose types fit the schema; the target may be absent."""
    columns = {feature.name: _values(rows.column(feature.name), feature) for feature in schema.features}
    if schema.target not in rows.schema.names:
        return Batch(columns, None)
    target = rows.column(schema.target)
    return Batch(columns, finite(numbers(target)) if schema.task == "regression" else words(target))


def finite(values: np.ndarray) -> np.ndarray:
    """Numbers as the graph sees them and the server samples them, float32; what none holds is missing. As float64."""
    return np.where(np.abs(values) <= LARGEST, values, np.nan).astype(np.float32).astype(np.float64)


def words(column: pa.Array) -> np.ndarray:
    """Categories as they are written, or as ingest names labels that are no words; missing cells are ''."""
    if is_words(column.type):
        return np.array([value or "" for value in column.to_pylist()], dtype=object)
    named = ("" if is_missing(value) else str(as_label(value)) for value in column.to_pylist())
    return np.array(list(named), dtype=object)


def _values(column: pa.Array, feature: Feature) -> np.ndarray:
    if feature.kind == "number":
        return finite(numbers(column))
    return raw_values(column, feature) if feature.kind == "image" else words(column)
