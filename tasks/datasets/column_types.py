"""Which column types are numbers, words or times, and the type that holds two of them."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def is_number(kind: pa.DataType) -> bool:
    """Whether values are integers, floats or decimals; booleans are apart."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_words(kind: pa.DataType) -> bool:
    """Whether values are strings, as such or as a dictionary."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain))


def is_time(kind: pa.DataType) -> bool:
    """Whether values are dates, timestamps or times of day."""
    return bool(pa.types.is_temporal(kind))


def stored(kind: pa.DataType) -> pa.DataType:
    """The type a column is kept in: floats and decimals as float64, every kind of string as string, others as is."""
    if is_words(kind):
        return pa.string()
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_dictionary(kind):
        return stored(kind.value_type)
    return kind


def unified(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    """The narrowest type that holds the values of both; strings hold everything.

    >>> str(unified(pa.int64(), pa.float64())), str(unified(pa.null(), pa.bool_())), str(unified(pa.bool_(), pa.int8()))
    ('double', 'bool', 'string')
    """
    if a == b or pa.types.is_null(b):
        return a
    if pa.types.is_null(a):
        return b
    if is_number(a) and is_number(b):
        both_whole = pa.types.is_integer(a) and pa.types.is_integer(b)
        return pa.int64() if both_whole else pa.float64()
    if is_time(a) and is_time(b) and not pa.types.is_time(a) and not pa.types.is_time(b):
        return pa.timestamp("ns")
    return pa.string()


def numbers(column: Any) -> np.ndarray:
    """A column (array or chunked array) of numbers or booleans as float64 (N,), missing cells as NaN."""
    cast = pc.cast(column, pa.float64(), safe=False)
    return np.asarray(cast.to_numpy() if isinstance(cast, pa.ChunkedArray) else cast.to_numpy(zero_copy_only=False))
