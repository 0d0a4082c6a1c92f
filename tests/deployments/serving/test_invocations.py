import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.serving.app import App
from deployments.serving.library import Library
from deployments.serving.watcher import Watcher

ROWS = [{"age": 41, "city": "Oslo", "height": 1.8}, {"age": None, "city": None, "height": 2}]
COLUMNS = ["height", "city", "age"]
DATA = [[row[name] for name in COLUMNS] for row in ROWS]


def predictions(reply):
    assert reply.status == 200, reply.body
    assert set(reply.body) == {"predictions"}
    return reply.body["predictions"]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": COLUMNS, "data": DATA, "index": [7, 8]}},
        {"dataframe_records": ROWS},
        {"instances": ROWS},
        {"inputs": ROWS},
        {"inputs": {name: [row[name] for row in ROWS] for name in COLUMNS}},
        {"instances": {name: [row[name] for row in ROWS] for name in COLUMNS}, "params": {"a": 1}},
    ],
    ids=lambda body: next(iter(body)),
)
def test_every_form_of_named_columns_gives_a_record_a_row(ask, body):
    found = predictions(ask("POST", "/invocations/mixed", body))
    assert [record["label"] for record in found] == ["yes", "yes"]
    named = ask("POST", "/predict/mixed", {"inputs": ROWS}).body["outputs"]
    assert [record["probabilities"] for record in found] == [list(row["probabilities"].values()) for row in named]


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [[1, 2], [3, None]]},
        {"instances": [[1, 2], [3, None]]},
        {"inputs": {"features": [[1, 2], [3, None]]}},
        {"inputs": {"b": [2, None], "a": [1, 3]}},
        {"dataframe_split": {"columns": [0, 1], "data": [[1, 2], [3, None]]}},
        {"dataframe_split": {"data": [[1, 2], [3, None]]}},
        {"dataframe_split": {"columns": ["b", "a"], "data": [[2, 1], [None, 3]]}},
    ],
    ids=json.dumps,
)
def test_every_form_of_a_matrix_is_read(ask, body):
    assert predictions(ask("POST", "/invocations/numbers", body)) == [{"value": 6.0}, {"value": 0.0}]


PIXELS = [[[0, 1, 2], [3, 4, 5]], [[255, 254, 253], [252, 251, 250]]]
FLAT = np.array(PIXELS).reshape(2, 6).tolist()


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": PIXELS},
        {"instances": FLAT},
        {"inputs": {"image": PIXELS}},
        {"instances": [{"image": image} for image in PIXELS]},
        {"dataframe_split": {"columns": [f"pixel{index}" for index in range(6)], "data": FLAT}},
        {"dataframe_split": {"columns": list(range(6)), "data": FLAT}},
    ],
    ids=json.dumps,
)
def test_every_form_of_an_image_is_read(ask, body):
    assert [record["label"] for record in predictions(ask("POST", "/invocations/image", body))] == [0, 1]


def test_texts_are_read_by_name_and_by_place(ask):
    for body in ({"inputs": ["why", "no"]}, {"dataframe_records": [{"text": "why"}, {"text": "no"}]}):
        found = predictions(ask("POST", "/invocations/text", body))
        assert [record["label"] for record in found] == ["question", "statement"]


def test_nan_is_a_gap_as_mlflow_writes_it_and_a_word_inside_a_string(ask):
    body = b'{"inputs": [{"age": NaN, "city": "NaN", "height": 1.5}]}'
    assert predictions(ask("POST", "/invocations/mixed", body))[0]["label"] == "yes"
    for number in (b"Infinity", b"-NaN", b"1NaN", b"NaN1"):
        assert ask("POST", "/invocations/mixed", body.replace(b"NaN", number, 1)).status == 400
    height = ask("POST", "/invocations/mixed", b'{"inputs": [{"age": 1, "city": "a", "height": NaN}]}')
    assert height.body["error"]["code"] == "missing_value"
    assert height.body["error"]["field"] == "inputs[0].height"


CSV = [(b"content-type", b"text/csv; charset=utf-8")]


def test_csv_is_read_by_the_names_of_its_columns(ask):
    body = '\ufeffcity,height,age\r\n"Oslo",1.8,41\r\n,1.7,\r\n"a ""b"", c",1e0,nan\r\n\r\n'.encode()
    found = predictions(ask("POST", "/invocations/mixed", body, headers=CSV))
    assert [record["label"] for record in found] == ["yes"] * 3
    assert predictions(ask("POST", "/invocations/numbers", b"b,a\n2,1\n,3", headers=CSV)) == [
        {"value": 6},
        {"value": 0},
    ]
    pixels = b"0,1,2,3,4,5\n255,255,255,255,255,255"
    assert predictions(ask("POST", "/invocations/image", pixels, headers=CSV))[0]["label"] == 1


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"", "empty_inputs", ""),
        (b"age,city,height", "empty_inputs", "csv"),
        (b"age,city,height\n1,a", "wrong_shape", "csv[0]"),
        (b"age,city,height\n1,a,2,3", "wrong_shape", "csv[0]"),
        (b"age,city\n1,a", "missing_feature", "csv[0].height"),
        (b"age,city,height,ago\n1,a,2,3", "unknown_feature", "csv[0].ago"),
        (b"age,age,city,height\n1,1,a,2", "duplicate_column", "csv"),
        (b"age,city,height\n1,a,x", "wrong_type", "csv[0].height"),
        (b"age,city,height\n1_0,a,1", "wrong_type", "csv[0].age"),
        (b"age,city,height\n1,a,inf", "out_of_range", "csv[0].height"),
        (b"age,city,height\n1,a,", "missing_value", "csv[0].height"),
        (b'age,city,height\n1,"a"b,2', "not_csv", ""),
        (b'age,city,height\n1,"a', "not_csv", ""),
        (b"age,city,height\n1,\xff,2", "not_csv", ""),
        (b"age,city,height\n1," + b"a" * 200_000 + b",2", "not_csv", ""),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_csv_that_does_not_fit_is_refused_by_its_place(ask, body, code, field):
    reply = ask("POST", "/invocations/mixed", body, headers=CSV)
    assert reply.status == 400
    assert (reply.body["error"]["code"], reply.body["error"]["field"]) == (code, field)


@pytest.mark.parametrize(
    ("model", "body", "code", "field"),
    [
        ("mixed", {}, "missing_field", ""),
        ("mixed", {"params": {}}, "missing_field", ""),
        ("mixed", {"inputs": ROWS, "instances": ROWS}, "missing_field", ""),
        ("mixed", {"input": ROWS}, "unknown_field", "input"),
        ("mixed", {"inputs": []}, "empty_inputs", "inputs"),
        ("mixed", {"inputs": {}}, "empty_inputs", "inputs"),
        ("mixed", {"inputs": 5}, "wrong_type", "inputs"),
        ("mixed", {"inputs": [1, 2]}, "missing_name", "inputs"),
        ("mixed", {"inputs": {"age": 1}}, "wrong_type", "inputs.age"),
        ("mixed", {"inputs": {"age": [1], "city": ["a", "b"]}}, "wrong_shape", "inputs"),
        ("mixed", {"inputs": {"age": [1], "city": ["a"]}}, "missing_feature", "inputs[0].height"),
        ("mixed", {"dataframe_records": {}}, "wrong_type", "dataframe_records"),
        ("mixed", {"dataframe_records": [1]}, "wrong_type", "dataframe_records[0]"),
        ("mixed", {"dataframe_split": []}, "wrong_type", "dataframe_split"),
        ("mixed", {"dataframe_split": {"columns": 1, "data": []}}, "wrong_type", "dataframe_split.columns"),
        ("mixed", {"dataframe_split": {"columns": COLUMNS, "data": [1]}}, "wrong_type", "dataframe_split.data[0]"),
        ("mixed", {"dataframe_split": {"columns": COLUMNS, "data": [[1]]}}, "wrong_shape", "dataframe_split.data[0]"),
        ("mixed", {"dataframe_split": {"columns": COLUMNS, "data": []}}, "empty_inputs", "dataframe_split.data"),
        ("mixed", {"dataframe_split": {"columns": ["a", "a"], "data": []}}, "duplicate_column", "dataframe_split.data"),
        ("numbers", {"inputs": [[1, 2], [3]]}, "wrong_shape", "inputs[1]"),
        ("numbers", {"inputs": [1, 2]}, "wrong_shape", "inputs[0]"),
        ("numbers", {"inputs": [[1, "2"]]}, "wrong_type", "inputs[0][1]"),
        (
            "numbers",
            {"dataframe_split": {"columns": [1], "data": [[1]]}},
            "unknown_feature",
            "dataframe_split.data[0].1",
        ),
        ("image", {"inputs": [[1, 2, 3, 4, 5]]}, "wrong_shape", "inputs[0]"),
        ("image", {"inputs": [[1, 2, 3, 4, 5, 256]]}, "out_of_range", "inputs[0][5]"),
        ("image", {"inputs": []}, "empty_inputs", "inputs"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_json_that_does_not_fit_is_refused_by_its_place(ask, *, model, body, code, field):
    reply = ask("POST", f"/invocations/{model}", body)
    assert reply.status == 400, reply.body
    assert (reply.body["error"]["code"], reply.body["error"]["field"]) == (code, field)


def test_without_a_name_the_only_model_is_meant_and_of_several_one_must_be_named(tiny, store, ask):
    body = {"inputs": [[1, 2]]}
    reply = ask("POST", "/invocations", body)
    assert (reply.status, reply.body["error"]["code"]) == (400, "missing_model")
    assert "/invocations/NAME, where NAME is one of image, mixed, numbers, text" in reply.body["error"]["message"]
    library = Library()
    watcher = Watcher(store, library)
    app = App(library)
    assert tiny.call(app, "POST", "/invocations", body).status == 503
    tiny.publish(store, "numbers", "1", tiny.numbers())
    watcher.look()
    assert predictions(tiny.call(app, "POST", "/invocations", body)) == [{"value": 6.0}]


def test_health_and_version_are_told_as_mlflow_asks(ask, tiny):
    assert ask("GET", "/ping").status == ask("GET", "/health").status == 200
    assert ask("GET", "/version").body == "1.2.3"
    assert tiny.call(App(Library(["digits"])), "GET", "/ping").status == 503


@pytest.mark.parametrize("kind", ["application/vnd.apache.parquet", "image/png"])
def test_other_bodies_are_415(ask, kind):
    assert ask("POST", "/invocations/mixed", b"PAR1", headers=[(b"content-type", kind.encode())]).status == 415


keys = st.sampled_from(["age", "a", "features", "data", "columns"])
anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-300, 300) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=10,
)
forms = st.sampled_from(["inputs", "instances", "dataframe_split", "dataframe_records", "params"])
models = st.sampled_from(["mixed", "numbers", "image", "text"])


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(model=models, body=st.dictionaries(forms, anything, min_size=1, max_size=2))
def test_no_json_gives_5xx(ask, model, body):
    assert ask("POST", f"/invocations/{model}", json.dumps(body).encode()).status in (200, 400)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(model=models, body=st.text("ab,\n\r\"'1.eN\0é", max_size=40))
def test_no_csv_gives_5xx(ask, model, body):
    assert ask("POST", f"/invocations/{model}", body.encode(), headers=CSV).status in (200, 400)
