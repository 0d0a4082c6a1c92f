"""Rows under a contract: which pass, which are refused or put aside, and in which words."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.contract import Contract
from tasks.contracts.errors import DataError, InputError
from tasks.contracts.schema import Feature, Schema
from tasks.datasets.build import BuiltDataset, build_dataset
from tasks.datasets.guard import Terms
from tasks.datasets.preprocessing import build_preprocessor, encode

SCHEMA = Schema(
    task="classification",
    features=(Feature(name="age", kind="number"), Feature(name="city", kind="category")),
    target="label",
    labels=("no", "yes"),
)
CONTRACT = Contract(schema_=SCHEMA, categories={"city": ("Bergen", "Oslo")}, version="3")
GOOD = [(str(20 + i % 40), ("Oslo", "Bergen")[i % 2], ("no", "yes")[i // 2 % 2]) for i in range(80)]
BAD = {
    ("age", "number"): ("old", "Oslo", "no"),
    ("age", "empty"): ("", "Oslo", "no"),
    ("age", "finite"): ("1e39", "Oslo", "no"),
    ("city", "empty"): ("30", "", "no"),
    ("city", "category"): ("30", "Røme \U0001f307", "no"),
    ("label", "empty"): ("30", "Oslo", ""),
    ("label", "label"): ("30", "Oslo", "perhaps"),
}
WORDS = {
    (
        "age",
        "number",
    ): "column 'age' is 'old' in row 81 of data.csv, but the contract of version 3 holds numbers there: "
    "mend the cell, or set ingest.contract to quarantine",
    (
        "age",
        "empty",
    ): "column 'age' is empty in row 81 of data.csv, but the contract of version 3 has no empty cell there",
    ("age", "finite"): "column 'age' is '1e+39' in row 81",
    ("city", "empty"): "column 'city' is empty in row 81",
    ("city", "category"): "but the contract of version 3 knows Bergen, Oslo there",
    ("label", "empty"): "column 'label' is empty in row 81",
    (
        "label",
        "label",
    ): "column 'label' is 'perhaps' in row 81 of data.csv, but the contract of version 3 has the classes no, yes",
}


def csv_of(folder: Path, rows: list[tuple[str, ...]], header: str = "age,city,label") -> Path:
    path = folder / "data.csv"
    path.write_text("\n".join([header, *map(",".join, rows)]) + "\n", encoding="utf-8")
    return path


def built(folder: Path, source: Path, terms: Terms | None, **choices: Any) -> BuiltDataset:
    return build_dataset(source, folder / "out", terms=terms, **choices)


def rows_of(dataset: BuiltDataset) -> pd.DataFrame:
    return pd.concat([pq.read_table(path).to_pandas() for path in dataset.files.values()])


@pytest.mark.parametrize("broken", BAD, ids=map("-".join, BAD))
def test_a_break_is_refused_with_column_row_and_rule_and_leaves_nothing(broken, tmp_path):
    source = csv_of(tmp_path, [*GOOD, BAD[broken], BAD[broken]])
    with pytest.raises(DataError) as caught:
        built(tmp_path, source, Terms(CONTRACT))
    assert WORDS[broken] in str(caught.value) and "\n" not in str(caught.value)
    assert not list((tmp_path / "out").iterdir())


@settings(max_examples=40)
@given(st.lists(st.sampled_from([None, *BAD]), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_good_rows_all_survive_and_bad_ones_are_counted_once_under_their_first_rule(kinds, random):
    rows = [(row, None) for row in GOOD] + [(BAD[kind] if kind else GOOD[0], kind) for kind in kinds]
    random.shuffle(rows)
    with TemporaryDirectory() as folder:
        source = csv_of(Path(folder), [row for row, _ in rows])
        dataset = built(Path(folder), source, Terms(CONTRACT, "quarantine", 0.9))
        table = pd.read_csv(source, keep_default_na=False, dtype=str)
        age = pd.to_numeric(table.age, errors="coerce")
        sound = (age.abs() < 3e38) & table.city.isin(["Oslo", "Bergen"]) & table.label.isin(["no", "yes"])
        expected = table[sound].assign(age=age[sound]).sort_values(["age", "city", "label"]).to_numpy().tolist()
        assert rows_of(dataset).sort_values(["age", "city", "label"]).to_numpy().tolist() == expected
        counts = pd.Series([kind for _, kind in rows if kind]).value_counts().to_dict()
        held = dataset.held
        assert {(each.column, each.rule): each.rows for each in (held.breaks if held else ())} == counts
        if held:
            aside = pq.read_table(held.path).to_pandas()
            assert (held.rows, held.read) == (len(aside), len(rows))
            assert aside.row.tolist() == [i for i, (_, kind) in enumerate(rows, start=1) if kind]
            assert list(zip(aside.column, aside.rule, strict=True)) == [kind for _, kind in rows if kind]
            texts = [tuple(json.loads(cells)[name] or "" for name in ("city", "label")) for cells in aside.cells]
            assert texts == [row[1:] for row, kind in rows if kind]


def test_a_row_that_breaks_two_rules_is_counted_under_the_first_column(tmp_path):
    dataset = built(tmp_path, csv_of(tmp_path, [*GOOD, ("old", "Rome", "perhaps")]), Terms(CONTRACT, "quarantine"))
    assert dataset.held is not None and [(each.column, each.rows) for each in dataset.held.breaks] == [("age", 1)]
    assert dataset.warnings[0] == "1 of 81 rows break the contract and are in quarantine: column 'age' (number) in 1"


BY_TIME = {"split_by": "time", "time_column": "t", "test_share": 0.1, "validation_share": 0.1}
OF_TIME = Contract(
    schema_=SCHEMA.model_copy(update={"features": (Feature(name="t", kind="number"), Feature(name="a", kind="number"))})
)
ORDERED = [(str(i), str(i), ("no", "yes")[i % 2]) for i in range(100)]


def test_rows_that_are_put_aside_do_not_decide_where_time_is_cut(tmp_path):
    late = [(str(200 + i), "old", "no") for i in range(8)]
    source = csv_of(tmp_path, [*ORDERED, *late, ("oops", "1", "no")], "t,a,label")
    dataset = built(tmp_path, source, Terms(OF_TIME, "quarantine", 0.2), features=("t", "a"), **BY_TIME)
    assert dataset.rows == {"train": 80, "validation": 10, "test": 10}
    assert pq.read_table(dataset.files["test"]).column("t").to_pylist() == list(range(90, 100))
    assert dataset.held is not None and dataset.held.rows == 9


@pytest.mark.parametrize("features", [("t", "a"), ()])
def test_a_time_that_is_none_is_refused_by_its_own_row(features, tmp_path):
    contract = OF_TIME
    if not features:
        schema = SCHEMA.model_copy(update={"features": (Feature(name="a", kind="number"),)})
        contract = Contract(schema_=schema)
    source = csv_of(tmp_path, [*ORDERED[:40], ("oops", "1", "no"), *ORDERED[41:]], "t,a,label")
    with pytest.raises(DataError, match=r"column 't' is 'oops' in row 41 of data.csv, but"):
        built(tmp_path, source, Terms(contract), features=features, **BY_TIME)


def test_where_all_rows_break_the_contract_that_is_said_and_not_that_there_are_no_times(tmp_path):
    source = csv_of(tmp_path, [(t, "old", label) for t, _, label in ORDERED], "t,a,label")
    with pytest.raises(DataError, match="100 of 100 rows break the contract"):
        built(tmp_path, source, Terms(OF_TIME, "quarantine"), features=("t", "a"), **BY_TIME)


def test_more_than_the_allowed_share_is_refused_all_the_same(tmp_path):
    source = csv_of(tmp_path, [*GOOD, *[("old", "Oslo", "no")] * 20])
    with pytest.raises(
        DataError, match=r"20 of 100 rows break the contract of version 3 .*row 81.*quarantine_share is 0.1"
    ):
        built(tmp_path, source, Terms(CONTRACT, "quarantine"))
    assert not list((tmp_path / "out").iterdir())
    assert built(tmp_path, source, Terms(CONTRACT, "quarantine", 0.2)).held is not None


def test_the_bad_cell_may_stand_far_behind_what_types_are_guessed_from(tmp_path):
    rows = [GOOD[i % 80] for i in range(200_000)]
    dataset = built(tmp_path, csv_of(tmp_path, [*rows, ("old", "Oslo", "no")]), Terms(CONTRACT, "quarantine"))
    assert dataset.held is not None and dataset.held.breaks[0].first == "row 200001 of data.csv"
    assert sum(dataset.rows.values()) == 200_000 and rows_of(dataset).age.dtype == "float64"


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_sound_data_give_the_same_dataset_with_and_without_their_contract(form, tmp_path):
    frame = pd.DataFrame(
        {
            "flag": [i % 3 == 0 for i in range(90)],
            "n": range(90),
            "w": ["a", "b", "c"] * 30,
            "label": [i % 2 == 0 for i in range(90)],
        }
    )
    path = tmp_path / f"data.{form}"
    write = {
        "csv": frame.to_csv,
        "parquet": frame.to_parquet,
        "jsonl": lambda p, index: frame.to_json(p, orient="records", lines=True),
    }
    write[form](path, index=False)
    first = build_dataset(path, tmp_path / "first")
    terms = Terms(Contract(schema_=first.schema, categories=first.categories))
    second = build_dataset(path, tmp_path / "second", terms=terms)
    assert (second.schema, second.encoding, second.warnings, second.categories) == (
        first.schema, first.encoding, first.warnings, first.categories,
    )  # fmt: skip
    assert [p.read_bytes() for p in first.files.values()] == [p.read_bytes() for p in second.files.values()]


def test_truth_values_and_classes_of_numbers_are_still_read_beside_a_broken_cell(tmp_path):
    schema = Schema(
        task="classification", features=(Feature(name="flag", kind="number"), Feature(name="x", kind="number")),
        target="label", labels=(0, 1),
    )  # fmt: skip
    rows = [(("true", "False")[i % 2], str(i), str(i // 2 % 2)) for i in range(60)]
    bad = [("maybe", "1", "0"), ("true", "1", "none"), ("true", "1", "0.5"), ("true", "1", "true")]
    source = csv_of(tmp_path, [*rows, *bad], "flag,x,label")
    dataset = built(tmp_path, source, Terms(Contract(schema_=schema), "quarantine"))
    found = rows_of(dataset)
    assert found.flag.sum() == 30 and set(found.label) == {0, 1} and dataset.schema == schema
    assert dataset.held is not None
    assert {(b.column, b.rule): b.rows for b in dataset.held.breaks} == {
        ("flag", "number"): 1,
        ("label", "number"): 2,
        ("label", "label"): 1,
    }


AMOUNTS = Schema(task="regression", features=(Feature(name="x", kind="number"),), target="y")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_an_amount_to_predict_that_became_true_or_false_is_refused(form, tmp_path):
    path = tmp_path / f"data.{form}"
    frame = pd.DataFrame({"x": range(60), "y": [i % 2 == 0 for i in range(60)]})
    frame.to_csv(path, index=False) if form == "csv" else frame.to_parquet(path)
    with pytest.raises(DataError, match=r"column 'y' is .* row 1 of .* the contract of version 3 holds numbers there"):
        built(tmp_path, path, Terms(Contract(schema_=AMOUNTS, version="3")))


def test_one_true_among_amounts_to_predict_is_put_aside_and_among_features_a_one(tmp_path):
    rows = [(str(i), str(i / 3)) for i in range(60)]
    source = csv_of(tmp_path, [*rows, ("true", "1.5"), ("5", "true")], "x,y")
    dataset = built(tmp_path, source, Terms(Contract(schema_=AMOUNTS), "quarantine"))
    assert dataset.held is not None and [(each.column, each.rows) for each in dataset.held.breaks] == [("y", 1)]
    assert (rows_of(dataset).x == 1).sum() == 2


def test_classes_of_long_numbers_stay_apart_beside_a_broken_cell(tmp_path):
    labels = (2**53, 2**53 + 1, 10**17 + 3)
    schema = Schema(task="classification", features=(Feature(name="x", kind="number"),), target="y", labels=labels)
    rows = [(str(i), str(labels[i % 3])) for i in range(90)]
    bad = [("1", "none"), ("1", "inf"), ("1", "0.5"), ("1", f"{2**53}.5"), ("1", "7")]
    source = csv_of(tmp_path, [*rows, ("1", " 9007199254740992"), *bad], "x,y")
    dataset = built(tmp_path, source, Terms(Contract(schema_=schema), "quarantine"))
    found = rows_of(dataset).y
    assert found.dtype == "int64" and found.value_counts().to_dict() == dict(zip(labels, (31, 30, 30), strict=True))
    assert dataset.held is not None
    assert {(b.column, b.rule): b.rows for b in dataset.held.breaks} == {("y", "number"): 1, ("y", "label"): 4}


def test_classes_written_as_floats_are_read_beside_a_broken_cell(tmp_path):
    schema = AMOUNTS.model_copy(update={"task": "classification", "labels": (0, 1)})
    rows = [(str(i), f"{i % 2}.0") for i in range(60)]
    dataset = built(
        tmp_path,
        csv_of(tmp_path, [*rows, ("1", ""), ("1", "no")], "x,y"),
        Terms(Contract(schema_=schema), "quarantine"),
    )
    assert rows_of(dataset).y.value_counts().to_dict() == {0: 30, 1: 30}
    assert dataset.held is not None
    assert {(b.column, b.rule): b.rows for b in dataset.held.breaks} == {("y", "empty"): 1, ("y", "number"): 1}


def test_words_that_look_like_numbers_stay_the_words_they_are(tmp_path):
    schema = SCHEMA.model_copy(update={"features": (Feature(name="zip", kind="category"),)})
    rows = [(("07", "12")[i % 2], ("no", "yes")[i // 2 % 2]) for i in range(60)]
    terms = Terms(Contract(schema_=schema, categories={"zip": ("07", "12")}))
    assert set(rows_of(built(tmp_path, csv_of(tmp_path, rows, "zip,label"), terms)).zip) == {"07", "12"}


def test_empty_cells_pass_where_the_contract_fills_them_and_are_dropped_where_the_form_says_so(tmp_path):
    source = csv_of(tmp_path, [*GOOD, ("NA", "Oslo", "no")])
    filled = SCHEMA.model_copy(
        update={"features": tuple(f.model_copy(update={"nullable": True}) for f in SCHEMA.features)}
    )
    kept = built(tmp_path, source, Terms(CONTRACT.model_copy(update={"schema_": filled})), missing="mean")
    assert sum(kept.rows.values()) == 81 and kept.schema == filled
    dropped = built(tmp_path / "drop", source, Terms(CONTRACT), missing="drop")
    assert sum(dropped.rows.values()) == 80 and dropped.held is None
    with pytest.raises(DataError, match="has no empty cell there"):
        built(tmp_path / "mean", source, Terms(CONTRACT), missing="mean")


@pytest.mark.parametrize("missing", ["error", "drop", "mean"])
def test_what_the_contract_fills_may_be_empty_in_the_next_one_whatever_the_form_does(missing, tmp_path):
    filled = SCHEMA.model_copy(
        update={"features": tuple(f.model_copy(update={"nullable": True}) for f in SCHEMA.features)}
    )
    terms = Terms(CONTRACT.model_copy(update={"schema_": filled}))
    dataset = built(tmp_path, csv_of(tmp_path, GOOD), terms, missing=missing)
    assert dataset.schema == filled
    inputs = {"age": np.array([np.nan], np.float32), "city": np.array([""], object)}
    encoded = encode(build_preprocessor(dataset.schema, dataset.encoding), inputs)
    assert not encoded.any()  # the mean, and none of the words


def test_a_column_that_the_contract_does_not_know_is_left_out_and_told(tmp_path):
    source = csv_of(tmp_path, [("7", *row) for row in GOOD], "new,age,city,label")
    dataset = built(tmp_path, source, Terms(CONTRACT))
    assert dataset.schema == SCHEMA
    assert dataset.warnings[0] == "columns 'new' are left out: the contract of the champion does not know them"


def test_words_that_the_contract_knows_are_known_on_even_if_no_row_has_them(tmp_path):
    terms = Terms(CONTRACT.model_copy(update={"categories": {"city": ("Bergen", "Oslo", "Tromsø")}}))
    assert built(tmp_path, csv_of(tmp_path, GOOD), terms).categories == {"city": ("Bergen", "Oslo", "Tromsø")}


def test_a_contract_that_is_older_than_the_list_of_words_takes_any_word(tmp_path):
    terms = Terms(Contract(schema_=SCHEMA))
    assert built(tmp_path, csv_of(tmp_path, [*GOOD, ("30", "Rome", "no")]), terms).categories["city"][-1] == "Rome"


UNMENDABLE = [
    ("years,city,label", {}, "column 'age' is missing in data.csv, but the contract of version 3 needs it"),
    ("age,city,answer", {}, "target 'label' is missing in data.csv"),
    ("age,city,label", {"target": "city"}, "ingest.target is 'city', but the contract of version 3 predicts"),
    ("age,city,label", {"task": "regression"}, "ingest.task is regression"),
    ("age,city,label", {"features": ("age",)}, "ingest.features lacks 'city'"),
    ("age,city,label", {"exclude": ("age",)}, "ingest.exclude holds 'age'"),
]


@pytest.mark.parametrize(("header", "choices", "words"), UNMENDABLE)
def test_what_no_row_can_mend_is_refused_either_way_and_says_how_to_change_it(header, choices, words, tmp_path):
    for on_break in ("refuse", "quarantine"):
        with pytest.raises(InputError) as caught:
            built(tmp_path, csv_of(tmp_path, GOOD, header), Terms(CONTRACT, on_break), **choices)
        assert words in str(caught.value)
        assert str(caught.value).endswith("set ingest.contract to ignore to change the schema on purpose")


def test_a_class_that_is_gone_is_refused(tmp_path):
    with pytest.raises(DataError, match="class 'yes' is in no row of data.csv, but the contract of version 3 has it"):
        built(tmp_path, csv_of(tmp_path, [row for row in GOOD if row[2] == "no"]), Terms(CONTRACT))


@pytest.mark.parametrize("choices", [{"missing": "mean"}, {"missing": "drop"}])
def test_a_class_whose_rows_were_all_left_out_is_not_said_to_be_in_no_row(choices, tmp_path):
    odd = "" if choices["missing"] == "drop" else "old"
    rows = [(odd if row[2] == "yes" else row[0], *row[1:]) for row in GOOD]
    with pytest.raises(DataError, match=r"class 'yes' is in no row of data.csv that was kept, but the contract of ver"):
        built(tmp_path, csv_of(tmp_path, rows), Terms(CONTRACT, "quarantine", 0.9), **choices)


@pytest.mark.parametrize("kind", ["datetime64[ns]", "int64"])
def test_a_column_of_another_type_altogether_is_refused_in_parquet(kind, tmp_path):
    frame = pd.DataFrame(GOOD, columns=["age", "city", "label"]).assign(age=1, city=2)
    column = "age" if kind.startswith("date") else "city"
    frame[column] = frame[column].astype(kind)
    frame.to_parquet(tmp_path / "data.parquet")
    with pytest.raises(
        InputError, match=f"column '{column}' is .* from row 1 of data.parquet on, but the contract of version 3 holds"
    ):
        built(tmp_path, tmp_path / "data.parquet", Terms(CONTRACT, "quarantine"))


def test_images_of_another_shape_are_refused(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.zeros((40, 9, 8), np.uint8), y=np.arange(40) % 2)
    image = Schema(
        task="classification",
        features=(Feature(name="image", kind="image", shape=(8, 8)),),
        target="label",
        labels=(0, 1),
    )
    with pytest.raises(DataError, match=r"images of data.npz are 9 x 8, but the contract of version 3 takes 8 x 8"):
        built(tmp_path, tmp_path / "data.npz", Terms(Contract(schema_=image, version="3")))


def test_a_contract_is_named_after_what_it_demands_alone():
    other = CONTRACT.model_copy(update={"version": "9", "dataset_uri": "s3://b/other"})
    assert other.digest == CONTRACT.digest and other != CONTRACT
    assert CONTRACT.model_copy(update={"categories": {}}).digest != CONTRACT.digest
