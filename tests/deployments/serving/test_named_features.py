import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.runtime.session import load

ROW = {"age": 41, "city": "Oslo", "height": 1.8}


def softmax_yes(score):
    return 1 / (1 + np.exp(-score))


def test_labels_and_probabilities_come_back_by_name(ask):
    reply = ask("POST", "/predict/mixed", {"inputs": [ROW, ROW | {"city": "Bergen"}]})
    assert reply.status == 200
    assert (reply.body["model"], reply.body["version"]) == ("mixed", "1")
    first, second = reply.body["outputs"]
    assert first["label"] == "yes"
    assert second["label"] == "no"
    assert first["probabilities"]["yes"] == pytest.approx(softmax_yes(5.1), abs=1e-6)
    assert sum(second["probabilities"].values()) == pytest.approx(1, abs=1e-6)


def test_null_is_a_gap_that_the_graph_fills(ask):
    reply = ask("POST", "/predict/mixed", {"inputs": [{"age": None, "city": None, "height": 1}]})
    assert reply.body["outputs"][0]["probabilities"]["yes"] == pytest.approx(softmax_yes(4.5), abs=1e-6)


def test_a_value_comes_back_in_its_shortest_digits(ask):
    reply = ask("POST", "/predict/numbers", {"inputs": [{"b": 0.2, "a": 0.1}]})
    assert reply.body["outputs"] == [{"value": 0.6}]


def test_an_image_is_nested_lists_and_may_be_flat(ask):
    nested, flat = [[0, 0, 0], [0, 0, 9]], [255, 255, 255, 255, 255, 255]
    reply = ask("POST", "/predict/image", {"inputs": [{"image": nested}, {"image": flat}]})
    assert [answer["label"] for answer in reply.body["outputs"]] == [0, 1]
    assert list(reply.body["outputs"][0]["probabilities"]) == ["0", "1"]


def test_a_text_is_a_string_of_any_script(ask):
    reply = ask("POST", "/predict/text", {"inputs": [{"text": "WHY"}, {"text": "Ärger 🙂 \x00"}, {"text": ""}]})
    assert [answer["label"] for answer in reply.body["outputs"]] == ["question", "statement", "statement"]


@pytest.mark.parametrize(
    ("model", "body", "code", "field", "words"),
    [
        ("mixed", {"inputs": [{"age": 1, "height": 1}]}, "missing_feature", "inputs[0].city", "send null if it is not"),
        ("mixed", {"inputs": [ROW, {"age": 1, "city": ""}]}, "missing_feature", "inputs[1].height", "send its value"),
        ("mixed", {"inputs": [ROW | {"aeg": 1}]}, "unknown_feature", "inputs[0].aeg", "did you mean 'age'?"),
        ("mixed", {"inputs": [ROW | {"age": "41"}]}, "wrong_type", "inputs[0].age", "'41', but must be a number"),
        ("mixed", {"inputs": [ROW, ROW | {"age": True}]}, "wrong_type", "inputs[1].age", "True, but must be a number"),
        ("mixed", {"inputs": [ROW | {"age": [1]}]}, "wrong_type", "inputs[0].age", "[1], but must be a number"),
        ("mixed", {"inputs": [ROW | {"city": 5}]}, "wrong_type", "inputs[0].city", "5, but must be a string"),
        ("mixed", {"inputs": [ROW | {"height": None}]}, "missing_value", "inputs[0].height", "null, but must be a num"),
        ("mixed", {"inputs": [ROW | {"age": 1e39}]}, "out_of_range", "inputs[0].age", "32 bits"),
        ("mixed", {"inputs": []}, "empty_inputs", "inputs", "at least one row"),
        ("mixed", {"inputs": ROW}, "wrong_type", "inputs", "must be a list of rows"),
        ("mixed", {"inputs": [[1, "Oslo", 2]]}, "wrong_type", "inputs[0]", "must be an object of features"),
        ("mixed", {"inputs": None}, "wrong_type", "inputs", "must be a list of rows"),
        ("mixed", {}, "missing_field", "inputs", "must be a list of rows"),
        ("mixed", {"input": [ROW]}, "unknown_field", "input", "did you mean 'inputs'?"),
        ("mixed", [ROW], "wrong_type", "", "must be an object"),
        ("numbers", {"inputs": [{"a": None, "b": 1}]}, "missing_value", "inputs[0].a", "without gaps"),
        ("numbers", {"inputs": [{"a": 1, "b": 1}, {"a": "x", "b": 1}]}, "wrong_type", "inputs[1].a", "'x'"),
        ("numbers", {"inputs": [{"a": 3e38, "b": 3e38}]}, "no_answer", "inputs[0]", "no finite value"),
        ("image", {"inputs": [{"image": [[0, 0, 0], [0, 0]]}]}, "wrong_shape", "inputs[0].image[1]", "list of 3"),
        ("image", {"inputs": [{"image": [[0, 0, 0], 7]}]}, "wrong_shape", "inputs[0].image[1]", "list of 3"),
        ("image", {"inputs": [{"image": [0] * 5}]}, "wrong_shape", "inputs[0].image", "must have 6"),
        ("image", {"inputs": [{"image": []}]}, "wrong_shape", "inputs[0].image", "must have 6"),
        (
            "image",
            {"inputs": [{"image": [[0, 0, 0], [0, 0, 256]]}]},
            "out_of_range",
            "inputs[0].image[1][2]",
            "0 to 255",
        ),
        (
            "image",
            {"inputs": [{"image": [[0, 0, 0], [0, -1, 0]]}]},
            "out_of_range",
            "inputs[0].image[1][1]",
            "0 to 255",
        ),
        ("image", {"inputs": [{"image": [[0, 0, 0], [0, 0, 0.5]]}]}, "wrong_type", "inputs[0].image[1][2]", "0.5"),
        ("image", {"inputs": [{"image": [[0, 0, 0], [0, 0, True]]}]}, "wrong_type", "inputs[0].image[1][2]", "True"),
        ("image", {"inputs": [{"image": [[0, 0, 0], [0, 0, None]]}]}, "missing_value", "inputs[0].image[1][2]", "null"),
        ("image", {"inputs": [{"image": None}]}, "missing_value", "inputs[0].image", "nested lists of shape [2, 3]"),
        ("image", {"inputs": [{"image": "iVBORw0"}]}, "wrong_type", "inputs[0].image", "nested lists of shape [2, 3]"),
        ("image", {"inputs": [{"pixels": []}]}, "unknown_feature", "inputs[0].pixels", "known: image"),
        ("text", {"inputs": [{"text": None}]}, "missing_value", "inputs[0].text", "must be a string"),
        ("text", {"inputs": ["why"]}, "wrong_type", "inputs[0]", "an object of features: text"),
    ],
)
def test_refuses_a_body_that_does_not_fit_by_its_place(ask, *, model, body, code, field, words):
    reply = ask("POST", f"/predict/{model}", body if isinstance(body, dict) else json.dumps(body).encode())
    assert reply.status == 400
    error = reply.body["error"]
    assert set(error) == {"code", "field", "message", "request_id"}
    assert (error["code"], error["field"]) == (code, field)
    assert words in error["message"]


def test_a_whole_number_too_long_for_64_bits_is_still_a_number(ask):
    reply = ask("POST", "/predict/mixed", {"inputs": [ROW | {"age": -(10**30)}]})
    assert reply.body["outputs"][0]["label"] == "no"


def test_a_name_of_a_million_letters_costs_no_time_and_no_room(ask):
    reply = ask("POST", "/predict/mixed", {"inputs": [{"a" * 900_000: 1}]})
    assert reply.status == 400
    assert len(reply.body["error"]["message"]) < 500


features = st.fixed_dictionaries(
    {
        "age": st.none() | st.floats(-1e6, 1e6, width=32) | st.integers(-100, 200),
        "city": st.none() | st.sampled_from(["Oslo", "Bergen", "Rome", ""]) | st.text(max_size=5),
        "height": st.floats(0, 3, width=32),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(features, min_size=1, max_size=6))
def test_answers_are_those_of_the_graph_alone(ask, tiny, rows):
    graph = load(tiny.mixed()[1])
    arrays = {
        "age": np.array([np.nan if row["age"] is None else row["age"] for row in rows], np.float32),
        "city": np.array([row["city"] or "" for row in rows], object),
        "height": np.array([row["height"] for row in rows], np.float32),
    }
    expected = graph.run(arrays)
    reply = ask("POST", "/predict/mixed", {"inputs": rows})
    assert reply.status == 200
    assert [answer["label"] for answer in reply.body["outputs"]] == expected["label"].tolist()
    got = np.array([[answer["probabilities"][name] for name in ("no", "yes")] for answer in reply.body["outputs"]])
    np.testing.assert_array_equal(got.astype(np.float32), expected["probabilities"])
