import itertools

import numpy as np
import pytest
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression, LogisticRegression

from tasks.contracts.schema import Feature, Schema
from tasks.contracts.signature import signature_of
from tasks.runtime.importance import GRID, columns_of, permutation, ranked, regions_of, related, rows_for, shuffled

NAMES = ("a", "b", "c")
PARTS = columns_of(
    signature_of(
        Schema(task="regression", features=tuple(Feature(name=each, kind="number") for each in NAMES), target="y")
    )
)


def table(rows: int = 600) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)


def values(weights):
    return lambda inputs: {"value": inputs["features"] @ np.asarray(weights)}


def test_it_agrees_with_scikit_learn_on_regression():
    rows = table()
    target = rows @ [3.0, 1.0, 0.0] + np.random.default_rng(1).normal(size=len(rows))
    model = LinearRegression().fit(rows, target)
    theirs = permutation_importance(
        model, rows, target, scoring="neg_root_mean_squared_error", n_repeats=40, random_state=0
    )
    ours = ranked(permutation(
        lambda inputs: {"value": model.predict(inputs["features"])},
        {"features": rows}, target, (), PARTS, seed=0, repeats=40,
    ))  # fmt: skip
    assert [each.name for each in ours] == ["a", "b", "c"]
    np.testing.assert_allclose([each.mean for each in ours], theirs.importances_mean, rtol=0.03, atol=0.005)


def test_it_agrees_with_scikit_learn_on_classes():
    rows = table()
    target = (rows @ [2.0, -1.0, 0.0] > 0).astype(np.int64)
    model = LogisticRegression().fit(rows, target)
    theirs = permutation_importance(model, rows, target, scoring="accuracy", n_repeats=40, random_state=0)
    labels = ("no", "yes")
    ours = ranked(permutation(
        lambda inputs: {"label": np.asarray(labels, dtype=object)[model.predict(inputs["features"])]},
        {"features": rows}, target, labels, PARTS, seed=0, repeats=40,
    ))  # fmt: skip
    found = {each.name: each.mean for each in ours}
    np.testing.assert_allclose([found[name] for name in NAMES], 100 * theirs.importances_mean, atol=1.0)


def test_the_same_seed_gives_the_same_figures_and_the_mean_lies_in_its_interval():
    rows = table()
    twice = [permutation(values([1, 2, 0]), {"features": rows}, rows @ [1, 2, 0], (), PARTS, seed=3) for _ in range(2)]
    assert twice[0] == twice[1]
    found = ranked(twice[0])
    assert all(each.low <= each.mean <= each.high and each.count == 5 for each in found)
    assert found[-1].mean == 0


def test_columns_that_say_the_same_are_shuffled_together_too():
    rows = table()
    rows[:, 1] = rows[:, 0] ** 3  # alike in rank alone
    (pair,) = related(PARTS, {"features": rows})
    assert pair.name == "a + b"
    order = np.random.default_rng(0).permutation(len(rows))
    moved = shuffled({"features": rows}, pair, order)["features"]
    np.testing.assert_array_equal(moved[:, :2], rows[order, :2])
    np.testing.assert_array_equal(moved[:, 2], rows[:, 2])


def test_few_rows_relate_nothing():
    features = tuple(Feature(name=str(each), kind="number") for each in range(20))
    parts = columns_of(signature_of(Schema(task="regression", features=features, target="y")))
    rows = np.random.default_rng(0).normal(size=(2, 20)).astype(np.float32)
    assert related(parts, {"features": rows}) == []


def test_constant_and_missing_columns_are_related_to_nothing():
    rows = table()
    rows[:, 0], rows[:, 1] = 1.0, np.nan
    assert related(PARTS, {"features": rows}) == []


def test_strings_beside_numbers_are_columns_of_their_own():
    features = (Feature(name="size", kind="number"), Feature(name="town", kind="category"))
    parts = columns_of(signature_of(Schema(task="regression", features=features, target="y")))
    inputs = {"size": np.arange(4, dtype=np.float32), "town": np.array(["a", "b", "", "ü"], dtype=object)}
    moved = shuffled(inputs, parts[1], np.array([3, 2, 1, 0]))
    assert moved["town"].tolist() == ["ü", "", "b", "a"] and moved["size"] is inputs["size"]
    assert related(parts, inputs) == []


def test_what_is_not_reached_in_time_is_missing():
    clock = itertools.count()
    rows = table(50)
    found = permutation(
        values([1, 1, 1]), {"features": rows}, rows.sum(1), (), PARTS, seed=0, most_seconds=3, clock=lambda: next(clock)
    )
    assert [each and each.name for each in found] == ["a", "b", None]
    assert all(each.low == each.mean == each.high for each in ranked(found))


@pytest.mark.parametrize(("height", "width"), [(28, 28), (4, 5), (1, 3), (1, 1)])
def test_regions_cover_every_pixel_once(height, width):
    seen = np.zeros((height, width))
    for part in regions_of("image", height, width):
        ((_, place),) = part.places
        seen[place] += 1
        assert part.name in GRID
    assert (seen == 1).all()


@pytest.mark.parametrize("columns", [1, 64, 784, 100_000])
def test_a_wide_table_is_asked_with_fewer_rows(columns):
    assert 100 <= rows_for(columns, 10**6) <= 2000
