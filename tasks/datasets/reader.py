"""A split as arrays: raw rows in the tensors that the published graph takes, and the target as numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.contracts.errors import DataError
from tasks.contracts.schema import Feature, Schema
from tasks.contracts.signature import signature_of
from tasks.datasets.column_types import numbers
from tasks.datasets.labels import class_indices
from tasks.datasets.source import first_line


@dataclass(frozen=True)
class Rows:
    """Raw rows, ready for a graph."""

    inputs: dict[str, np.ndarray]
    """By tensor name of `signature_of`: float32 with NaN for missing numbers, uint8 images, object arrays of str."""
    target: np.ndarray
    """Place among the labels, int64 (N,), or the value itself, float64 (N,)."""

    def __len__(self) -> int:
        return len(self.target)

    def take(self, indices: Sequence[int] | np.ndarray) -> "Rows":
        """The rows at these places, in this order."""
        places = np.asarray(indices, dtype=np.int64)
        return Rows({name: values[places] for name, values in self.inputs.items()}, self.target[places])


def read_split(path: Path, schema: Schema) -> Rows:
    """All rows of a split file.

    Raises:
        DataError: if the file is not of this schema.
    """
    names = [feature.name for feature in schema.features]
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=[*names, schema.target]).select([*names, schema.target])
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise DataError(
            f"{path.name} is no split file of this schema ({first_line(error)}), but must be: ingest the data again"
        ) from error
    target = table.column(schema.target)
    return Rows(_inputs(table, schema), _target(target.combine_chunks(), schema))


def raw_values(column: Any, feature: Feature) -> np.ndarray:
    """A column as its tensor wants it: float32 (N,), str (N,), or uint8 (N, H, W) or (N, H, W, C)."""
    if feature.kind == "number":
        return np.asarray(numbers(column), dtype=np.float32)
    if feature.kind == "image":
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        pixels = np.frombuffer(array.buffers()[1], dtype=np.uint8) if len(array) else np.zeros(0, np.uint8)
        size = int(np.prod(feature.shape))
        return pixels[array.offset * size : (array.offset + len(array)) * size].reshape(-1, *feature.shape)
    return np.asarray(pc.fill_null(column, "").to_pylist(), dtype=object)


def _inputs(table: pa.Table, schema: Schema) -> dict[str, np.ndarray]:
    tensors = signature_of(schema).inputs
    columns = {feature.name: table.column(feature.name) for feature in schema.features}
    if len(tensors) == 1 and tensors[0].name == "features" and schema.features[0].kind == "number":
        matrix = np.empty((table.num_rows, len(schema.features)), dtype=np.float32)
        for place, feature in enumerate(schema.features):
            matrix[:, place] = numbers(columns[feature.name])
        return {"features": matrix}
    return {
        tensor.name: raw_values(columns[feature.name], feature)
        for tensor, feature in zip(tensors, schema.features, strict=True)
    }


def _target(column: Any, schema: Schema) -> np.ndarray:
    if schema.task == "regression":
        return np.asarray(numbers(column), dtype=np.float64)
    return class_indices(column, schema.labels)
