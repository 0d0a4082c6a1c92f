"""How a raw target becomes a class: whole numbers stay whole numbers, booleans and words are strings."""

import re
from collections.abc import Iterable, Sequence
from math import isnan
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.contracts.errors import DataError

WHOLE = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)


def as_label(value: Any) -> int | str:
    """The name of the class that a raw value stands for.

    >>> as_label(True), as_label(3.0), as_label(3), as_label("3")
    ('true', 3, 3, '3')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return int(value) if isinstance(value, float | int) else str(value)


def is_missing(value: Any) -> bool:
    """Whether a raw value is no label at all.

    >>> is_missing(None), is_missing(float("nan")), is_missing(""), is_missing(0), is_missing(False)
    (True, True, True, False, False)
    """
    return value is None or value == "" or (isinstance(value, float) and isnan(value))


def named_type(names: Iterable[str]) -> pa.DataType:
    """The type of labels that were written as words: int64 if each is a whole number as one would write it.

    >>> str(named_type(["0", "10"])), str(named_type(["0", "07"])), str(named_type(["cat"]))
    ('int64', 'string', 'string')
    """
    return pa.int64() if all(WHOLE.fullmatch(name) for name in names) else pa.string()


def named(names: Sequence[str], kind: pa.DataType) -> pa.Array:
    """Labels that were written as words, as this type."""
    return pa.array([int(name) for name in names] if pa.types.is_integer(kind) else names, kind)


def class_indices(target: pa.Array, labels: tuple[int, ...] | tuple[str, ...]) -> np.ndarray:
    """The place of each raw value among the labels, int64 (N,).

    Raises:
        DataError: naming a value that is no label.
    """
    places = {label: index for index, label in enumerate(labels)}
    encoded = pc.dictionary_encode(target)
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    values = [as_label(value) for value in encoded.dictionary.to_pylist()]
    unknown = [value for value in values if value not in places]
    if unknown:
        raise DataError(f"target holds {unknown[0]!r}, but must be one of {list(labels)[:20]}: ingest the data again")
    indices = np.asarray([places[value] for value in values], dtype=np.int64)
    return indices[encoded.indices.to_numpy(zero_copy_only=False)] if len(target) else np.zeros(0, np.int64)
