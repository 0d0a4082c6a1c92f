"""A client's JSON values against the manifest's tensors: everything is counted and typed before an array is made.

A shape that a client claims is only ever compared with what it sent; it never sizes an allocation.
"""

import struct
from collections.abc import Callable, Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from deployments.serving.refusal import Refusal, shown
from tasks.contracts.signature import Datatype, Tensor

Place = Callable[[int], str]
"""Where the n-th flat value stands in the body."""

_KINDS: dict[Datatype, frozenset[type]] = {
    "FP32": frozenset((int, float)),
    "INT64": frozenset((int,)),
    "UINT8": frozenset((int,)),
    "BYTES": frozenset((str,)),
}
_SAID: dict[Datatype, str] = {
    "FP32": "a number",
    "INT64": "a whole number",
    "UINT8": "a whole number from 0 to 255",
    "BYTES": "a string",
}
_MISSING: dict[Datatype, Any] = {"FP32": float("nan"), "BYTES": ""}
_RANGE = "a number of 32 bits, at most 3.4e38 in size"
_INT64 = np.iinfo(np.int64)


def flatten(data: list[Any], shape: Sequence[int], field: str) -> list[Any]:
    """Flat values of data that are flat already, or nested exactly as the shape says.

    Args:
        data: What the client sent; as long as it is, nothing larger is made of it.
        shape: What it must have, axis by axis.
        field: Where `data` stands in the body.

    Raises:
        Refusal: If a list is too short, too long, or no list.
    """
    if len(shape) == 1 or not is_nested(data):
        if len(data) != prod(shape):
            raise _wrong_length(field, len(data), prod(shape), shape)
        return data
    level: list[Any] = [data]
    for depth, size in enumerate(shape):
        for index, item in enumerate(level):
            if type(item) is not list or len(item) != size:
                raise _ragged(place_at(field, index, shape[:depth]), item, size, shape)
        level = list(chain.from_iterable(level))
    return level


def is_nested(data: list[Any]) -> bool:
    """Whether a list holds lists."""
    return bool(data) and type(data[0]) is list


def place_at(field: str, index: int, shape: Sequence[int]) -> str:
    """The place of a flat index in nested lists.

    >>> place_at("inputs[0].image", 29, (28, 28))
    'inputs[0].image[1][1]'
    """
    steps = []
    for size in reversed(shape):
        index, step = divmod(index, size)
        steps.append(f"[{step}]")
    return field + "".join(reversed(steps))


def to_array(tensor: Tensor, values: list[Any], place: Place) -> np.ndarray:
    """Flat values as a flat array of the tensor's datatype.

    Raises:
        Refusal: At the first value that is null where none may be, of another type, or out of range.
    """
    given = list(map(type, values))
    if tensor.datatype == "FP32" and given.count(float) == len(values):  # counting is quicker than making a set
        return _numbers(values, place)
    kinds = set(given)
    if type(None) in kinds:
        values = _without_nulls(tensor, values, place)
        kinds.discard(type(None))
    strange = kinds - _KINDS[tensor.datatype]
    if strange:
        index = next(i for i, value in enumerate(values) if type(value) in strange)
        raise Refusal("wrong_type", _not(place(index), values[index], tensor.datatype), field=place(index))
    return _MAKERS[tensor.datatype](values, place)


def check_numbers(tensor: Tensor, values: np.ndarray, place: Place) -> None:
    """Holds FP32 values that came as bytes to the rule of those in JSON: NaN is null, infinity is no number.

    Args:
        tensor: Says which columns may have gaps.
        values: Flat.
        place: Names a value.

    Raises:
        Refusal: At the first value that may not stand there.
    """
    if np.isfinite(values).all():
        return
    infinite = np.isinf(values)
    if infinite.any():
        raise _out_of_range(values, int(infinite.argmax()), place, _RANGE)
    may_lack = np.resize(tensor.nullable or False, len(values))
    refused = np.isnan(values) & ~may_lack
    if refused.any():
        raise _missing(tensor, place(int(refused.argmax())))


def _missing(tensor: Tensor, place: str) -> Refusal:
    message = f"{place} is null, but must be {_SAID[tensor.datatype]}: this model was trained without gaps"
    return Refusal("missing_value", message, field=place)


def _without_nulls(tensor: Tensor, values: list[Any], place: Place) -> list[Any]:
    filled = list(values)
    for index, value in enumerate(values):
        if value is not None:
            continue
        nullable = tensor.nullable[index % len(tensor.nullable)] if tensor.nullable else False
        if not nullable or tensor.datatype not in _MISSING:
            raise _missing(tensor, place(index))
        filled[index] = _MISSING[tensor.datatype]
    return filled


def _numbers(values: list[Any], place: Place) -> np.ndarray:
    try:
        # Half the time of np.array with float64 and a cast; rounds alike, and tells what float32 cannot hold.
        narrow = np.frombuffer(struct.pack(f"{len(values)}f", *values), dtype=np.float32)
    except OverflowError:
        with np.errstate(over="ignore"):
            narrow = np.array(values, dtype=np.float64).astype(np.float32)
    infinite = np.isinf(narrow)
    if infinite.any():
        raise _out_of_range(values, int(infinite.argmax()), place, _RANGE)
    return narrow


def _whole_numbers(values: list[Any], place: Place) -> np.ndarray:
    for index, value in enumerate(values):
        if not _INT64.min <= value <= _INT64.max:
            raise _out_of_range(values, index, place, "a whole number of 64 bits")
    return np.array(values, dtype=np.int64)


def _pixels(values: list[Any], place: Place) -> np.ndarray:
    try:
        return np.frombuffer(bytes(values), dtype=np.uint8)
    except ValueError as error:
        index = next(i for i, value in enumerate(values) if not 0 <= value <= 255)
        raise _out_of_range(values, index, place, _SAID["UINT8"]) from error


def _strings(values: list[Any], place: Place) -> np.ndarray:
    return np.array(values, dtype=object)


_MAKERS: dict[Datatype, Callable[[list[Any], Place], np.ndarray]] = {
    "FP32": _numbers,
    "INT64": _whole_numbers,
    "UINT8": _pixels,
    "BYTES": _strings,
}


def _not(place: str, value: Any, datatype: Datatype) -> str:
    return f"{place} is {shown(value)}, but must be {_SAID[datatype]}"


def _out_of_range(values: Sequence[Any] | np.ndarray, index: int, place: Place, rule: str) -> Refusal:
    message = f"{place(index)} is {shown(values[index])}, but must be {rule}"
    return Refusal("out_of_range", message, field=place(index))


def _wrong_length(field: str, length: int, wanted: int, shape: Sequence[int]) -> Refusal:
    message = f"{field} has {length} values, but must have {wanted} for shape {list(shape)}"
    return Refusal("wrong_shape", message, field=field)


def _ragged(place: str, item: Any, size: int, shape: Sequence[int]) -> Refusal:
    what = f"has {len(item)} items" if type(item) is list else f"is {shown(item)}"
    return Refusal("wrong_shape", f"{place} {what}, but must be a list of {size} for shape {list(shape)}", field=place)
