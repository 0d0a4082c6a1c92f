"""The golden batch: a few raw rows with the answers they must get, frozen into the manifest."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tasks.contracts.manifest import GoldenBatch
from tasks.runtime.session import load

ROWS = 8


def golden_batch(model: Path, inputs: Mapping[str, np.ndarray]) -> GoldenBatch:
    """Ask the graph for its own answers on the first rows; a missing number travels as null."""
    chosen = {name: array[:ROWS] for name, array in inputs.items()}
    outputs = load(model).run(chosen)
    return GoldenBatch(
        inputs={name: _as_json(array) for name, array in chosen.items()},
        outputs={name: _as_json(array) for name, array in outputs.items()},
    )


def _as_json(array: np.ndarray) -> list[object]:
    values: list[object] = array.tolist()
    if array.dtype.kind == "f" and np.isnan(array).any():
        values = (
            np.array([None if np.isnan(x) else x for x in array.ravel().tolist()], object).reshape(array.shape).tolist()
        )
    return values
