"""New rows against real champions in a store that is a folder: what moved is named, what did not is not."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.contracts.config import DriftConfig
from tasks.contracts.errors import DataError, InputError, IntegrityError
from tasks.exporters.drift_comparison import compare_with_champion
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store
from tests.tasks.exporters.champions import enthrone
from tests.tasks.stores.shelf import publish

DATA = Path(__file__).parents[3] / "data"
HOUSING = sorted((DATA.parents[1] / "shared" / "data" / "housing").glob("*.csv"))
NOW = "2026-11-26T12:00:00+00:00"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    store = Store.from_environment((tmp_path_factory.mktemp("drift") / "store").as_uri())
    enthrone(store, "diabetes", DATA / "diabetes.csv")
    enthrone(store, "digits", DATA / "digits.parquet")
    enthrone(store, "messages", DATA / "messages.tsv")
    return store


@pytest.fixture
def judge(store, tmp_path):
    """Compares a frame, a path or the samples with a champion."""

    def judged(model: str, new, at: str = NOW, **knobs):
        path = new
        if isinstance(new, pd.DataFrame):
            path = tmp_path / "new.csv"
            new.to_csv(path, index=False)
        return compare_with_champion(store, DriftConfig(model_name=model, source=str(path or ""), **knobs), at)

    return judged


def patients(rows: int = 442, seed: int = 0) -> pd.DataFrame:
    return pd.read_csv(DATA / "diabetes.csv").sample(rows, replace=True, random_state=seed).astype(float)


@pytest.fixture
def learn(store, tmp_path):
    """Makes a champion of a frame."""

    def learned(model: str, frame: pd.DataFrame, **knobs) -> None:
        frame.to_csv(tmp_path / "learned.csv", index=False)
        enthrone(store, model, tmp_path / "learned.csv", **knobs)

    return learned


def moved(report) -> set[str]:
    return {column.name for column in report.columns if column.drifted}


@pytest.mark.parametrize("rows", [100, 442])
def test_twenty_resamples_raise_no_alarm(judge, rows):
    for seed in range(20):
        report = judge("diabetes", patients(rows, seed))
        assert not report.drifted, report.reason
    assert report.reason == "none of 12 columns drifted" and report.reference_rows == 308


@pytest.mark.parametrize("column", ["age", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6", "target"])
def test_a_column_shifted_by_one_deviation_is_named_and_no_other(judge, column):
    frame = patients(150)
    frame[column] += frame[column].std()
    report = judge("diabetes", frame)
    assert column in moved(report) and moved(report) <= {column, "prediction"}
    assert column in report.reason


def test_answers_that_move_are_drift_of_the_prediction(judge):
    frame = patients()
    frame[["bmi", "s5"]] += frame[["bmi", "s5"]].std()
    assert moved(judge("diabetes", frame)) == {"bmi", "s5", "prediction"}


def test_labels_may_be_absent(judge):
    report = judge("diabetes", patients().drop(columns="target"))
    assert not report.drifted and [column.role for column in report.columns].count("label") == 0
    assert report.columns[-1].role == "prediction"


def test_of_many_rows_a_sample_is_compared(judge):
    report = judge("diabetes", patients(3000), most_rows=200)
    assert (report.rows, report.compared_rows, report.reference_rows) == (3000, 200, 200)
    assert not report.drifted


def test_a_column_gone_empty_is_drift_and_costs_no_other_its_verdict(judge):
    frame = patients()
    frame["s3"] = np.nan
    report = judge("diabetes", frame)
    assert moved(report) == {"s3"} and "s3 (missing 0.0%, now 100.0%)" in report.reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda f: f.drop(columns="bmi"),
            "new.csv has no column 'bmi', but the champion reads it (there are: age, sex",
        ),
        (
            lambda f: f.assign(bmi="high"),
            "column 'bmi' of new.csv holds string, but the champion takes numbers: correct",
        ),
        (
            lambda f: f.assign(target="bad"),
            "column 'target' of new.csv holds string, but the champion was told numbers",
        ),
        (
            lambda f: f.head(49),
            "new rows are 49, but must be at least 50 to be judged: collect more, look further back",
        ),
        (lambda f: f * np.nan, "all cells of 442 new rows are empty, but some must hold values: look at the source"),
        (lambda f: f.head(0), "new"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_a_mend(judge, change, words):
    with pytest.raises(DataError) as refused:
        judge("diabetes", change(patients()))
    assert words in str(refused.value) and refused.value.exit_code == 2


def test_an_empty_or_absent_source_is_refused(judge, tmp_path):
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(DataError, match="is empty, but must hold data"):
        judge("diabetes", tmp_path / "empty.csv")
    with pytest.raises(DataError, match="but there is nothing there"):
        judge("diabetes", tmp_path / "absent.csv")


def test_a_later_row_that_is_no_number_is_refused_too(judge, tmp_path):
    frame = pd.concat([patients(60_000), patients(1).astype(object).assign(bmi="high")])
    with pytest.raises(DataError, match="column 'bmi' of new.csv holds string"):
        judge("diabetes", frame)


def test_numbers_that_no_graph_takes_are_missing(judge):
    frame = patients()
    frame.loc[::3, "bmi"] = np.inf
    assert "bmi (missing 0.0%, now 33." in judge("diabetes", frame).reason


def test_a_model_without_a_champion_is_refused(judge, store):
    with pytest.raises(InputError, match="model 'diabets' does not exist: did you mean 'diabetes'"):
        judge("diabets", patients())
    publish(Journal(store, "unborn"), 1.0, mlflow=False)
    with pytest.raises(InputError, match="model 'unborn' has no champion, but must have one: promote a version first"):
        judge("unborn", patients())


def test_a_champion_whose_dataset_is_gone_says_so(store, judge):
    journal = Journal(store, "orphan")
    entry = publish(journal, 1.0, mlflow=False)
    facts = entry.model_dump(include={"version", "manifest", "run_key", "actor", "reason"})
    journal.append(action="promote", **facts)
    with pytest.raises(IntegrityError, match="is not in this store, but new data are held against it: restore it"):
        judge("orphan", patients())


def test_classes_that_come_more_often_are_drift_of_label_and_prediction(judge):
    frame = pd.read_parquet(DATA / "digits.parquet")
    assert not judge("digits", frame.sample(500, random_state=3)).drifted
    report = judge("digits", frame[frame["label"] < 4].head(500))
    roles = {column.role for column in report.columns if column.drifted}
    assert roles >= {"label", "prediction"}


def test_texts_of_other_words_and_lengths_are_seen(judge, tmp_path):
    lines = (DATA / "messages.tsv").read_text().splitlines()
    path = tmp_path / "new.tsv"
    path.write_text("\n".join(np.random.default_rng(0).choice(lines, 400)))
    assert not judge("messages", path).drifted
    foreign = [line + " überraschend håndværk 東京" for line in lines[:400]]
    path.write_text("\n".join(foreign))
    assert {"text: words", "text: unknown words"} <= moved(judge("messages", path))


def test_an_image_of_another_size_is_refused_and_a_darker_one_is_drift(store, judge, tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (300, 6, 6), dtype=np.uint8), rng.integers(0, 2, 300)
    np.savez(tmp_path / "first.npz", x=images, y=labels)
    enthrone(store, "pictures", tmp_path / "first.npz")
    np.savez(tmp_path / "again.npz", x=images[:200], y=labels[:200])
    assert not judge("pictures", tmp_path / "again.npz").drifted
    np.savez(tmp_path / "dark.npz", x=images[:200] // 2, y=labels[:200])
    assert any(name.endswith(": brightness") for name in moved(judge("pictures", tmp_path / "dark.npz")))
    np.savez(tmp_path / "large.npz", x=np.zeros((60, 7, 6), np.uint8), y=labels[:60])
    with pytest.raises(DataError, match=r"holds images of 7 x 6, but the champion takes 6 x 6: resize"):
        judge("pictures", tmp_path / "large.npz")


def sampled(store: Store, model: str, frame: pd.DataFrame, time: datetime, name: str = "1") -> None:
    """Puts rows where the server would."""
    facts = {"ingot_answer": 1.0, "ingot_version": "1", "ingot_time": time.isoformat(timespec="milliseconds")}
    rows = [
        json.dumps({k: None if pd.isna(v) else v for k, v in row.items()} | facts) for row in frame.to_dict("records")
    ]
    store.create(f"samples/{model}/{time:%Y-%m-%d}/{name}.jsonl", "\n".join(rows).encode())


def test_the_samples_of_the_time_asked_for_are_judged(judge, store):
    with pytest.raises(DataError, match="the server has kept no rows of 'diabetes' in the last 24 hours, but some are"):
        judge("diabetes", None)
    at = datetime.fromisoformat(NOW).astimezone(UTC)
    odd = patients(200).drop(columns="target")
    odd["bmi"] += 20
    sampled(store, "diabetes", odd, at - timedelta(hours=30))
    sampled(store, "diabetes", patients(200).drop(columns="target"), at - timedelta(hours=2))
    sampled(store, "diabetes", pd.DataFrame({"another": [1.0]}), at - timedelta(hours=1), "2")
    report = judge("diabetes", None)
    assert (report.rows, report.drifted) == (200, False)
    assert report.notes == ("1 sampled rows do not fit the champion's columns and were left out",)
    assert "server's samples of the 24 hours before 2026-11-26T12:00" in report.source
    longer = judge("diabetes", None, since_hours=48)
    assert longer.rows == 400 and "bmi" in moved(longer)


def test_what_the_server_sampled_lies_on_the_same_side_of_every_edge(store, judge, learn):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"price": rng.choice([0.1, 0.2, 0.3, 0.7, 9.99], 2000), "target": rng.normal(size=2000)})
    learn("decimals", table, task="regression")
    told = table[["price"]].astype(np.float32).astype(np.float64)
    sampled(store, "decimals", told, datetime.fromisoformat(NOW) - timedelta(hours=1))
    assert not judge("decimals", None).drifted


def test_a_long_tail_has_values_that_training_never_saw(judge, learn):
    rng = np.random.default_rng(0)

    def streets(rows: int, prefix: str = "s") -> pd.DataFrame:
        named = [f"{prefix}{number}" for number in rng.zipf(1.5, rows)]
        return pd.DataFrame({"street": named, "x": rng.normal(size=rows), "target": rng.normal(size=rows)})

    learn("streets", streets(4000), task="regression")
    for _ in range(3):
        report = judge("streets", streets(1000))
        assert not report.drifted and report.columns[0].unseen > 0.03
    assert any("unseen values" in found for found in judge("streets", streets(1000, "t")).columns[0].findings)


WORDS = {
    "code": (["01234", "02345", "03456"], "AB12"),
    "flag": (["true", "false"], "maybe"),
    "version": (["1.2", "1.5", "2.1"], "beta"),
    "day": (["2026-01-01", "2026-01-02"], "never"),
}


@pytest.mark.parametrize("column", WORDS)
def test_words_stay_words_where_all_that_are_left_look_like_something_else(judge, learn, column):
    usual, rare = WORDS[column]
    rng = np.random.default_rng(0)

    def table(rows: int) -> pd.DataFrame:
        return pd.DataFrame(
            {column: rng.choice(usual, rows), "x": rng.normal(size=rows), "target": rng.normal(size=rows)}
        )

    first = table(1000)
    first.loc[first.index % 50 == 0, column] = rare
    learn(f"words-{column}", first, task="regression")
    report = judge(f"words-{column}", table(400))
    assert not report.drifted, report.reason


@pytest.mark.parametrize("kind", ["words", "truths"])
def test_labels_are_read_as_they_were_learned(judge, learn, kind):
    rng = np.random.default_rng(0)
    usual, extra = {"words": (["01", "02"], "AB"), "truths": (["true", "false"], "true")}[kind]

    def table(rows: int) -> pd.DataFrame:
        return pd.DataFrame({"x": rng.normal(size=rows), "target": rng.choice(usual, rows)})

    first = table(1000)
    first.loc[first.index % 50 == 0, "target"] = extra
    learn(f"labels-{kind}", first, task="classification")
    assert "target" not in moved(judge(f"labels-{kind}", table(400)))


def test_gaps_that_training_dropped_are_no_drift_and_twice_as_many_are(judge, learn):
    def gaps(rows: int, share: float, seed: int) -> pd.DataFrame:
        frame = patients(rows, seed)
        return frame.assign(bmi=frame["bmi"].mask(np.random.default_rng(seed).random(rows) < share))

    learn("gaps", gaps(2000, 0.15, 0), missing="drop")
    assert not judge("gaps", gaps(500, 0.15, 1)).drifted
    (bmi,) = (column for column in judge("gaps", gaps(500, 0.3, 2)).columns if column.name == "bmi")
    assert bmi.findings[0].startswith("missing 1")


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_labels_that_come_late_are_no_drift(judge, share):
    frame = patients()
    frame["target"] = frame["target"].mask(np.random.default_rng(0).random(len(frame)) < share)
    assert not judge("diabetes", frame).drifted


def test_a_source_may_say_how_it_is_written(judge, tmp_path):
    patients().to_csv(tmp_path / "rows.dat", index=False)
    assert not judge("diabetes", tmp_path / "rows.dat", format="csv").drifted
    with pytest.raises(DataError, match="set format, or give csv"):
        judge("diabetes", tmp_path / "rows.dat")


@pytest.mark.parametrize(
    "source", ["https://ann:canary@host/new.csv", "https://host/new.csv?token=canary", "env://HOME"]
)
def test_no_form_of_drift_takes_a_password(source):
    with pytest.raises(ValidationError) as refused:
        DriftConfig(model_name="diabetes", source=source)
    assert "canary" not in str(refused.value)


@settings(max_examples=15)
@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-(2**60), 2**60)), min_size=60, max_size=60))
def test_whatever_numbers_a_column_holds_there_is_a_verdict(store, tmp_path_factory, cells):
    path = tmp_path_factory.mktemp("any") / "new.csv"
    patients(60).assign(bmi=pd.array(cells, dtype=object)).to_csv(path, index=False)
    report = compare_with_champion(store, DriftConfig(model_name="diabetes", source=str(path)), NOW)
    assert all(0 <= column.p_value <= 1 and np.isfinite(column.psi) for column in report.columns)


@pytest.mark.skipif(not HOUSING, reason="needs shared/data/housing")
def test_california_housing_shifted_by_one_deviation_is_seen_and_twenty_resamples_are_not(store, judge):
    enthrone(store, "housing", HOUSING[0], target="median_house_value", missing="mean")
    frame = pd.read_csv(HOUSING[0])
    for seed in range(20):
        report = judge("housing", frame.sample(2000, replace=True, random_state=seed))
        assert not report.drifted, report.reason
    for column in frame.select_dtypes("number").columns:
        shifted = frame.sample(2000, replace=True, random_state=1)
        shifted[column] += shifted[column].std()
        assert column in moved(judge("housing", shifted))
    strange = frame.sample(2000, random_state=1)
    strange.loc[strange.index[:300], "ocean_proximity"] = "ON MARS"
    assert "15.0% unseen values such as 'ON MARS'" in " ".join(judge("housing", strange).columns[8].findings)
