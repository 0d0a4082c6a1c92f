"""Features that tell the target alone, held against scipy and pandas."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from tasks.contracts.schema import Feature, Schema
from tasks.datasets.ties import Ties

RANDOM = np.random.default_rng(0)


def warned(frame: pd.DataFrame, *, classes: bool, batches: int = 3) -> list[str]:
    names = [name for name in frame.columns if name != "y"]
    kinds = {name: "number" if pd.api.types.is_numeric_dtype(frame[name]) else "category" for name in names}
    labels = tuple(sorted(set(frame.y.tolist()))) if classes else ()
    features = tuple(Feature(name=name, kind=kinds[name]) for name in names)  # type: ignore[arg-type]
    schema = Schema(task="classification" if classes else "regression", features=features, target="y", labels=labels)
    ties = Ties(schema)
    for part in np.array_split(np.arange(len(frame)), batches):
        ties.update(pa.RecordBatch.from_pandas(frame.iloc[part], preserve_index=False))
    return [warning.split("'")[1] for warning in ties.warnings()]


def test_a_code_for_each_class_is_a_tie_whatever_the_code():
    y = RANDOM.choice(["a", "b", "c"], 600)
    frame = pd.DataFrame(
        {"word": pd.Series(y).map({"a": "x", "b": "y", "c": "z"}), "code": pd.Series(y).map({"a": 7, "b": 1, "c": 4})}
    )
    frame["many"] = frame.code * 10 + RANDOM.integers(0, 3, 600)
    frame["free"], frame["y"] = RANDOM.choice(["x", "y"], 600), y
    assert warned(frame, classes=True) == ["code", "many", "word"]


def test_an_amount_that_lies_apart_for_each_class_is_a_tie():
    y = RANDOM.integers(0, 3, 3000)
    frame = pd.DataFrame(
        {"apart": 1e9 + y * 100 + RANDOM.normal(size=3000), "near": y + RANDOM.normal(size=3000), "y": y}
    )
    assert warned(frame, classes=True) == ["apart"]


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05, 0.5])
def test_a_numeric_target_is_held_against_the_square_of_pearsons_r(noise):
    x = RANDOM.normal(1e6, 1, 500)
    frame = pd.DataFrame({"x": x, "y": 3 * x + RANDOM.normal(size=500) * noise})
    strong = stats.pearsonr(frame.x, frame.y).statistic ** 2 >= 0.999
    assert warned(frame, classes=False) == (["x"] if strong else [])


def test_a_rare_class_is_not_told_by_always_guessing_the_other():
    y = np.zeros(5000, int)
    y[:3] = 1
    assert warned(pd.DataFrame({"w": ["a", "b"] * 2500, "k": RANDOM.integers(0, 5, 5000), "y": y}), classes=True) == []


def test_keys_constants_empty_columns_and_few_rows_tell_nothing():
    y = RANDOM.integers(0, 2, 80)
    odd = {"key": [f"k{i}" for i in range(80)], "one": 5.0, "none": np.nan}
    assert warned(pd.DataFrame(odd | {"y": y}), classes=True) == []
    assert warned(pd.DataFrame({"one": 5.0, "none": np.nan, "y": RANDOM.normal(size=80)}), classes=False) == []
    assert warned(pd.DataFrame({"w": ["a", "b"] * 5, "y": [0, 1] * 5}), classes=True) == []


def test_many_values_take_no_more_scans_of_a_batch_than_two(monkeypatch):
    scans = []
    counted = np.bincount
    monkeypatch.setattr(np, "bincount", lambda *given, **more: scans.append(1) or counted(*given, **more))
    schema = Schema(
        task="classification",
        features=(Feature(name="x", kind="number"),),
        target="y",
        labels=tuple(range(10)),
    )

    def scans_of(values: int) -> int:
        scans.clear()
        columns = {"x": RANDOM.integers(0, values, 5000), "y": RANDOM.integers(0, 10, 5000)}
        Ties(schema).update(pa.RecordBatch.from_pydict(columns))
        return len(scans)

    assert scans_of(100) == scans_of(2) > 0
