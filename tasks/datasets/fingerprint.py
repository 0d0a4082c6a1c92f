"""A 64-bit number for the content of a row: the same for the same content, whatever the batch, the format or the type.

Numbers are mixed as float64, so a column that turns from whole numbers to fractions when data are appended moves no
row. Words and bytes go through BLAKE2b. Nothing here depends on a library's version.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.datasets.column_types import numbers

_SHIFT = np.uint64(32)
_MISSING = np.uint64(0x7FF8_0000_0000_0000)
_FACTOR = np.uint64(0x9E37_79B9_7F4A_7C15)


def fingerprints(columns: Iterable[pa.Array], rows: int) -> np.ndarray:
    """One uint64 a row (N,), over these columns in this order."""
    content = np.full(rows, _FACTOR, dtype=np.uint64)
    for column in columns:
        content ^= _bits(column)
        content *= _FACTOR
        content ^= content >> _SHIFT
    return mixed(content)


def mixed(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): every bit of a uint64 reaches every other."""
    z = values.copy()
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58_476D_1CE4_E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D0_49BB_1331_11EB)
    z ^= z >> np.uint64(31)
    return z


def uniform(values: np.ndarray) -> np.ndarray:
    """A uint64 as a share in [0, 1), float64."""
    share: np.ndarray = (values >> np.uint64(11)).astype(np.float64) / 2.0**53
    return share


def _bits(column: pa.Array) -> np.ndarray:
    if pa.types.is_null(column.type):
        return np.full(len(column), _MISSING)
    return _number_bits(column) if pa.types.is_primitive(column.type) else _content_bits(column)


def _number_bits(column: pa.Array) -> np.ndarray:
    values = numbers(column) + 0.0  # -0.0 becomes 0.0
    bits = values.view(np.uint64)
    missing = np.isnan(values)
    if missing.any():
        bits[missing] = _MISSING
    return bits


def _content_bits(column: pa.Array) -> np.ndarray:
    if column.null_count:
        column = pc.fill_null(column, "")
    encoded = pc.dictionary_encode(column)
    each = [_digest(value) for value in encoded.dictionary.to_pylist()]
    bits: np.ndarray = np.asarray(each, dtype=np.uint64)[encoded.indices.to_numpy()]
    return bits


def _digest(value: str | bytes) -> int:
    content = value.encode() if isinstance(value, str) else value
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
