"""Readings of both sides, paired."""

import numpy as np

from tasks.contracts.config import DriftConfig
from tasks.contracts.drift import Role
from tasks.contracts.errors import DataError
from tasks.contracts.schema import CategoryEncoding, Encoding, Schema
from tasks.datasets.drift.readings import ANSWER, Readings
from tasks.runtime.drift import Series


def paired(before: Readings, now: Readings, schema: Schema, encoding: Encoding) -> list[Series]:
    """A series for each reading that both sides have: features, then label, then prediction."""
    known: dict[str, frozenset[str]] = {
        feature.name: frozenset(known.values)
        for feature, known in zip(schema.features, encoding.features, strict=True)
        if isinstance(known, CategoryEncoding)
    }
    if schema.labels:
        known[schema.target] = frozenset(map(str, schema.labels))
    ranks: dict[Role, int] = {"feature": 0, "label": 1, "prediction": 2}
    pairs = [
        Series("prediction" if name == ANSWER else name, _role(name, schema), values, now[name], known.get(name))
        for name, values in before.items()
        if name in now
    ]
    return sorted(pairs, key=lambda series: ranks[series.role])


def check_enough(now: Readings, rows: int, schema: Schema, config: DriftConfig) -> None:
    """Refuses what nobody could judge.

    Raises:
        DataError: There are too few rows, or no value in any of them.
    """
    if rows < config.min_rows:
        raise DataError(
            f"new rows are {rows}, but must be at least {config.min_rows} to be judged: collect more, look further "
            "back, or lower min_rows"
        )
    features = [values for name, values in now.items() if _role(name, schema) == "feature"]
    if all(np.isnan(v).all() if v.dtype != object else (v == "").all() for v in features):
        raise DataError(f"all cells of {rows} new rows are empty, but some must hold values: look at the source")


def _role(name: str, schema: Schema) -> Role:
    return "prediction" if name == ANSWER else "label" if name == schema.target else "feature"
