"""Readings of both sides, paired."""

import numpy as np

from tasks.contracts.config import DriftConfig
from tasks.contracts.dataset import DatasetManifest
from tasks.contracts.drift import Role
from tasks.contracts.errors import DataError
from tasks.contracts.schema import CategoryEncoding, Schema
from tasks.datasets.drift.readings import ANSWER, Readings
from tasks.runtime.drift import Series


def paired(trained: Readings, held_out: Readings, now: Readings, data: DatasetManifest) -> list[Series]:
    """A series for each reading that both sides have: features, then label, then prediction.

    Args:
        trained: Of the training split.
        held_out: Of the other splits, which stand in where training gives none: for answers.
        now: Of the new rows.
        data: What the champion learned from.
    """
    schema, encoding = data.schema_, data.encoding
    known: dict[str, frozenset[str]] = {
        feature.name: frozenset(known.values)
        for feature, known in zip(schema.features, encoding.features, strict=True)
        if isinstance(known, CategoryEncoding)
    }
    if schema.labels:
        known[schema.target] = frozenset(map(str, schema.labels))
    ranks: dict[Role, int] = {"feature": 0, "label": 1, "prediction": 2}
    pairs = [
        Series(
            name="prediction" if name == ANSWER else name,
            role=_role(name, schema),
            before=trained.get(name, values),
            now=now[name],
            known=known.get(name),
            held_out=values if name in known else None,
            gaps=data.gaps.get(name),
        )
        for name, values in held_out.items()
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
