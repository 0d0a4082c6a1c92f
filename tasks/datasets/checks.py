"""What makes data unusable, found in the facts: each check raises one sentence with place and mend."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.contracts.dataset import Split
from tasks.contracts.errors import DataError
from tasks.contracts.schema import Schema
from tasks.contracts.signature import signature_of
from tasks.datasets.column_types import is_number, is_time, is_words
from tasks.datasets.facts import MOST_VALUES, ColumnFacts
from tasks.datasets.labels import as_label, is_missing
from tasks.datasets.schema import Columns
from tasks.datasets.source import Source
from tasks.datasets.splits import SIDES, TRAIN
from tasks.datasets.summary import NumberSummary, TrainingSummary


def check_types(source: Source, columns: Columns) -> None:
    """Every feature is a number, a boolean or a string (or the image), and the target no time."""
    for name in (*columns.features, columns.target):
        kind = source.columns.field(name).type
        part = "target" if name == columns.target else "feature"
        if is_time(kind):
            mend = "choose another target" if part == "target" else f"exclude it (ingest.exclude: [{name!r}])"
            raise DataError(
                f"{part} {name!r} holds times ({kind}), but must hold numbers or words: {mend}, "
                "or convert it to a number"
            )
        image = source.kind == "images" and part == "feature"
        plain = is_number(kind) or is_words(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)
        if not plain and not image:
            raise DataError(
                f"{part} {name!r} holds {kind}, but must hold numbers, booleans or words: exclude it, or flatten it"
            )


def check_missing(facts: Mapping[str, ColumnFacts], rows: int, target: str, missing: str) -> None:
    """No column is empty altogether, no label is missing, and other cells only where the form allows it."""
    for name, column in facts.items():
        if column.missing == rows:
            raise DataError(f"column {name!r} is empty in every row, but must hold values: exclude it")
    label = facts[target]
    if label.missing and missing != "drop":
        raise DataError(
            f"target {target!r} is missing in {label.first_missing} ({_cells(label.missing)}), but every row needs a "
            "label: fill it in, or set ingest.missing to drop"
        )
    for name, column in facts.items():
        if column.missing and missing == "error":
            raise DataError(
                f"column {name!r} is missing in {column.first_missing} ({_cells(column.missing)}), but "
                "ingest.missing=error allows none: set it to mean or drop"
            )


def check_ranges(facts: Mapping[str, ColumnFacts]) -> None:
    """Every number is finite as a 32-bit float."""
    for name, column in facts.items():
        if column.infinite:
            place, value = column.infinite
            raise DataError(
                f"column {name!r} is {value} in {place}, but must be finite and below 3.4e38: mend the cell"
            )


def check_schema(schema: Schema, facts: Mapping[str, ColumnFacts]) -> None:
    """The target can be learnt, categories are few, and no column is called like a tensor of the graph."""
    target = facts[schema.target]
    if schema.task == "classification" and len(schema.labels) < 2:
        raise DataError(
            f"target {schema.target!r} holds one class, {schema.labels[0]!r}, but must hold at least two: "
            "add rows of another, or choose another target"
        )
    if schema.task == "regression" and target.low == target.high:
        raise DataError(
            f"target {schema.target!r} is {target.low:g} in every row, but must vary: choose another target"
        )
    for feature in schema.features:
        if feature.kind == "category" and facts[feature.name].values is None:
            raise DataError(
                f"column {feature.name!r} holds more than {MOST_VALUES} distinct words, but a category must hold at "
                f"most that many: exclude it (ingest.exclude: [{feature.name!r}])"
            )
    _check_names(schema)


def _check_names(schema: Schema) -> None:
    signature = signature_of(schema)
    taken = {"encoded", "logits", *(tensor.name for tensor in signature.outputs)}
    clash = [tensor.name for tensor in signature.inputs if tensor.name in taken]
    if clash:
        raise DataError(
            f"column {clash[0]!r} is called like a tensor of the model, but must not be ({', '.join(sorted(taken))}): "
            "rename it"
        )


class LabelCounts:
    """How many rows of each class stand on each side."""

    def __init__(self) -> None:
        """Starts empty."""
        self._counts: dict[Any, np.ndarray] = {}
        self._many = False

    def update(self, target: pa.Array, sides: np.ndarray) -> None:
        """Adds a batch of raw labels and their sides; gives up beyond 1,000 values, which are no classes."""
        if self._many:
            return
        encoded = pc.dictionary_encode(target)
        self._many = len(encoded.dictionary) + len(self._counts) > 2 * MOST_VALUES
        if self._many:
            return
        width, values = len(SIDES), encoded.dictionary.to_pylist()
        joint = np.asarray(pc.fill_null(encoded.indices, len(values)), dtype=np.int64) * width + sides
        table = np.bincount(joint, minlength=(len(values) + 1) * width).reshape(-1, width)
        for value, counts in zip([*values, None], table, strict=True):
            if not is_missing(value):
                self._counts[value] = self._counts.get(value, np.zeros(width, np.int64)) + counts

    def check(self, schema: Schema) -> tuple[str, ...]:
        """A warning for each class that no test row has.

        Raises:
            DataError: if a class has a single row, or none in train.
        """
        if not schema.labels:
            return ()
        counts = {as_label(value): rows for value, rows in self._counts.items()}
        for label in schema.labels:
            rows = counts[label]
            if rows.sum() == 1:
                raise DataError(
                    f"class {label!r} has a single row, but must have at least two: add rows of it, or remove it"
                )
            if not rows[TRAIN]:
                raise DataError(
                    f"class {label!r} has {rows.sum()} rows, but none in the training split: add rows of it, "
                    "hold out less, or take another seed"
                )
        absent = [label for label in schema.labels if not counts[label][SIDES.index("test")]]
        return tuple(f"class {label!r} does not occur in the test split" for label in absent)


def check_summary(summary: TrainingSummary) -> None:
    """Every number has a value somewhere in the training split."""
    for feature, one in zip(summary.schema.features, summary.features, strict=True):
        if isinstance(one, NumberSummary) and not one.count:
            raise DataError(
                f"column {feature.name!r} is empty in every row of the training split, but must hold values: "
                "exclude it, or take another split"
            )


def check_rows(rows: Mapping[Split, int]) -> None:
    """Every split has rows."""
    for side in SIDES:
        if not rows[side]:
            field = "ingest.validation_share" if side == "validation" else "ingest.test_share"
            mend = f"raise {field}" if side != "train" else "hold out less"
            raise DataError(
                f"the {side} split has 0 of {sum(rows.values())} rows, but every split needs at least one: "
                f"add rows, or {mend}"
            )


def _cells(count: int) -> str:
    return f"{count} cell{'s' if count > 1 else ''} in all"
