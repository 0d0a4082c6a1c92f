import numpy as np
import pyarrow as pa
import pytest

from tasks.datasets.facts import ColumnFacts, missing_cells


@pytest.mark.parametrize(
    ("cells", "kind", "missing"),
    [
        ([1.0, None, float("nan")], pa.float64(), [False, True, True]),
        ([1, None], pa.int64(), [False, True]),
        (["x", "", None], pa.string(), [False, True, True]),
        (["x", ""], pa.string(), [False, True]),
        ([True, None], pa.bool_(), [False, True]),
        ([None, None], pa.null(), [True, True]),
        ([1, 2], pa.int64(), None),
        (["x", " "], pa.string(), None),
        ([], pa.string(), None),
    ],
)
def test_missing_is_null_nan_or_nothing(cells: list[object], kind: pa.DataType, missing: list[bool] | None) -> None:
    mask = missing_cells(pa.array(cells, kind))
    assert (None if mask is None else mask.tolist()) == missing


def facts_of(*batches: list[object], kind: pa.DataType) -> ColumnFacts:
    facts = ColumnFacts(pa.field("a", kind), counted=True)
    start = 1
    for batch in batches:
        facts.update(pa.array(batch, kind), np.arange(start, start + len(batch)), "f.csv")
        start += len(batch)
    return facts


def test_values_are_counted_over_batches() -> None:
    facts = facts_of(["a", "b", ""], ["b", None], kind=pa.string())
    assert facts.values == {"a": 1, "b": 2} and facts.rows == 5


def test_beyond_a_thousand_values_counting_ends() -> None:
    facts = facts_of([f"two words {i}" for i in range(900)], [f"w{i}" for i in range(900)], kind=pa.string())
    assert facts.values is None and facts.spaced == 900
    assert facts_of(list(range(1001)), kind=pa.int64()).values is None


def test_range_fraction_and_infinity_are_found_by_place() -> None:
    facts = facts_of([1.0, 2.0, None], [2.5, float("inf"), -3.0], kind=pa.float64())
    assert facts.fraction == 2.5 and facts.low == -3
    assert facts.infinite is not None
    place, value = facts.infinite
    assert str(place) == "row 5 of f.csv" and value == float("inf")
