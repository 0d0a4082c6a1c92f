"""Which side a row goes to: train, validation or test.

Each rule sees one batch at a time and needs nothing but the row's number, its content, its time or its name, so the
same row goes to the same side however the source is cut into batches.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.contracts.dataset import Split
from tasks.contracts.errors import DataError
from tasks.datasets.column_types import is_number, is_time
from tasks.datasets.conversion import as_numbers
from tasks.datasets.facts import Place
from tasks.datasets.fingerprint import mixed, uniform
from tasks.datasets.source import PART_NAMES

SIDES: tuple[Split, Split, Split] = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = 0, 1, 2
BLOCK = 16


class Shares(NamedTuple):
    """What part of the rows is held out."""

    validation: float
    test: float


def by_draw(draw: np.ndarray, shares: Shares) -> np.ndarray:
    """Sides (N,) int8 from numbers in [0, 1): the lowest are the test split, the next the validation split."""
    sides = np.zeros(len(draw), dtype=np.int8)
    sides[draw < shares.validation + shares.test] = VALIDATION
    sides[draw < shares.test] = TEST
    return sides


def draws(seed: int, rows: np.ndarray) -> np.ndarray:
    """A number in [0, 1) for each row number, fixed by seed and number alone.

    Of every 16 rows in succession one falls into each sixteenth of [0, 1), so that even 20 rows fill every split.
    """
    if not len(rows):
        return np.zeros(0)
    first, last = int(rows.min()) // BLOCK, int(rows.max()) // BLOCK
    numbers = np.arange(first * BLOCK, (last + 1) * BLOCK, dtype=np.uint64)
    start = mixed(np.array([seed % 2**64], dtype=np.uint64) ^ np.uint64(0x5851_F42D_4C95_7F2D))[0]
    random = mixed(mixed(numbers + start) ^ start)
    ranks = random.reshape(-1, BLOCK).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable").reshape(-1)
    share = (ranks + uniform(mixed(random))) / BLOCK
    chosen: np.ndarray = share[rows - first * BLOCK]
    return chosen


def by_column(names: pa.Array, rows: np.ndarray, file: str) -> np.ndarray:
    """Sides of rows that say so themselves, in a column of words."""
    encoded = pc.dictionary_encode(pc.cast(names, pa.string()))
    known = [PART_NAMES.get(str(name).strip().lower()) for name in encoded.dictionary.to_pylist()]
    lookup: np.ndarray = np.asarray([SIDES.index(side) if side else -1 for side in known] or [-1], dtype=np.int8)
    sides = lookup[np.asarray(pc.fill_null(encoded.indices, 0))]
    sides = np.where(np.asarray(names.is_null()), np.int8(-1), sides)
    if (sides < 0).any():
        place = int((sides < 0).argmax())
        raise DataError(
            f"column 'split' is {names[place].as_py()!r} in {Place(int(rows[place]), file)}, but must be train, "
            "validation or test: mend it"
        )
    return sides


def given_validation(sides: np.ndarray, seed: int, rows: np.ndarray, share: float) -> np.ndarray:
    """The same sides, with a share of the training rows moved to validation by seed."""
    moved = (sides == TRAIN) & (draws(seed, rows) < share)
    return np.where(moved, np.int8(VALIDATION), sides)


def time_keys(column: pa.Array, rows: np.ndarray, file: str, name: str) -> np.ndarray:
    """A time column as float64 or int64 that sorts like it.

    Raises:
        DataError: naming the first cell that is missing or no time.
    """
    kind = column.type
    keys = column if is_time(kind) or is_number(kind) else _parsed_times(column, rows, file, name)
    empty = np.asarray(keys.is_null(nan_is_null=True))
    if empty.any():
        place = Place(int(rows[int(empty.argmax())]), file)
        raise DataError(
            f"time column {name!r} is missing in {place}, but split_by=time needs every row's time: "
            "fill it, or remove the row"
        )
    if is_number(keys.type):
        return np.asarray(keys)
    wide = pa.timestamp("us") if not pa.types.is_time(keys.type) else pa.time64("us")
    return np.asarray(pc.cast(pc.cast(keys, wide, safe=False), pa.int64()))


def _parsed_times(column: pa.Array, rows: np.ndarray, file: str, name: str) -> pa.Array:
    if pa.types.is_string(column.type):
        try:
            return pc.cast(pc.if_else(pc.equal(column, ""), None, column), pa.timestamp("us"))
        except pa.ArrowInvalid:
            odd = [place for place, value in enumerate(column.to_pylist()) if not _is_time(value)]
            _, words = as_numbers(column.take(pa.array(odd)), truths=False)
            place = odd[int(words.argmax())]  # a number may stand there because of a word further on
            wanted = "a number or {}" if words.any() else "{}, since not every row holds a number"
            value, where = repr(column[place].as_py()), str(Place(int(rows[place]), file))
    else:
        value, where, wanted = f"a column of {column.type}", file, "a number or {}"
    raise DataError(
        f"time column {name!r} is {value} in {where}, but must be "
        f"{wanted.format('an ISO 8601 time (2026-11-30T12:00:00)')}: convert it, or choose another ingest.split_by"
    )


def _is_time(value: str | None) -> bool:
    try:
        pc.cast(pa.array([value or None], pa.string()), pa.timestamp("us"))
    except pa.ArrowInvalid:
        return False
    return True


class TimeCuts(NamedTuple):
    """From which times on a row validates, or tests."""

    validation: float
    test: float


def time_cuts(keys: np.ndarray, shares: Shares) -> TimeCuts:
    """The cuts that put the latest rows into test, those before them into validation; equal times share a side."""
    if not len(keys):
        return TimeCuts(np.inf, np.inf)
    ordered = np.sort(keys)
    test = ordered[max(len(keys) - max(round(len(keys) * shares.test), 1), 0)]
    earlier = ordered[ordered < test]
    held = max(round(len(keys) * shares.validation), 1)
    return TimeCuts(earlier[max(len(earlier) - held, 0)] if len(earlier) else test, test)


def by_time(keys: np.ndarray, cuts: TimeCuts) -> np.ndarray:
    """Sides of rows with these times."""
    sides = np.zeros(len(keys), dtype=np.int8)
    sides[keys >= cuts.validation] = VALIDATION
    sides[keys >= cuts.test] = TEST
    return sides
