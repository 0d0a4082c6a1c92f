import struct
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tasks.datasets.fingerprint import fingerprints, mixed, uniform

cells = st.one_of(st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.none())
rows = st.lists(
    st.tuples(cells, st.text(st.characters(blacklist_categories=("Cs",))) | st.none()), min_size=1, max_size=20
)


def columns(pairs: list[tuple[Any, Any]]) -> list[pa.Array]:
    numbers = [None if number is None else float(number) for number, _ in pairs]
    return [pa.array(numbers, pa.float64()), pa.array([word for _, word in pairs], pa.string())]


@given(rows, st.data())
def test_batches_make_no_difference(pairs: list[tuple[Any, Any]], data: st.DataObject) -> None:
    whole = fingerprints(columns(pairs), len(pairs))
    cut = data.draw(st.integers(0, len(pairs)))
    halves = [fingerprints(columns(part), len(part)) for part in (pairs[:cut], pairs[cut:])]
    assert np.concatenate(halves).tolist() == whole.tolist()


@given(rows)
def test_only_equal_rows_are_alike(pairs: list[tuple[Any, Any]]) -> None:
    def canonical(pair: tuple[Any, Any]) -> tuple[bytes, str]:
        number = b"missing" if pair[0] is None else struct.pack("d", float(pair[0]) + 0.0)
        return number, pair[1] or ""

    marks = fingerprints(columns(pairs), len(pairs)).tolist()
    assert len(set(marks)) == len({canonical(pair) for pair in pairs})


def test_small_whole_numbers_do_not_collide() -> None:
    grid = np.array(list(product(range(50), repeat=3)), dtype=np.float64)
    marks = fingerprints([pa.array(column) for column in grid.T], len(grid))
    assert len(set(marks.tolist())) == len(grid)
    assert abs(uniform(marks).mean() - 0.5) < 0.01


def test_the_type_of_a_number_makes_no_difference() -> None:
    kinds = [pa.int8(), pa.uint16(), pa.int64(), pa.float32(), pa.float64()]
    marks = {tuple(fingerprints([pa.array([0, 3, 100], kind)], 3).tolist()) for kind in kinds}
    marks.add(tuple(fingerprints([pa.array([-0.0, 3, 100])], 3).tolist()))
    assert len(marks) == 1
    assert fingerprints([pa.array([True])], 1) == fingerprints([pa.array([1])], 1)
    assert fingerprints([pa.array([None], pa.float64())], 1) == fingerprints([pa.array([float("nan")])], 1)


def test_columns_and_their_order_count() -> None:
    a, b = pa.array(["x"]), pa.array(["y"])
    assert len({int(fingerprints(each, 1)[0]) for each in ([a, b], [b, a], [a], [a, a])}) == 4


def test_a_fingerprint_never_changes() -> None:
    # Were this to move, rows would change sides under split_by=hash.
    row = [pa.array([1.5]), pa.array(["Ångström"]), pa.array([b"\0\1"], pa.binary(2))]
    assert fingerprints(row, 1).tolist() == [9518493687653132313]


def test_mixing_is_the_finaliser_of_splitmix64() -> None:
    # The first outputs of splitmix64 with seed 1234567, as in Vigna's reference (prng.di.unimi.it/splitmix64.c).
    state = (1234567 + np.arange(1, 6, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    assert mixed(state).tolist() == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821,
    ]  # fmt: skip
