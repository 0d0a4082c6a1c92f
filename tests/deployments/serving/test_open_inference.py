import pytest


def tensor(**changes):
    return {"name": "features", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3.5, -4]} | changes


def pixels(**changes):
    return {"name": "image", "shape": [1, 2, 3], "datatype": "UINT8", "data": [1, 2, 3, 4, 5, 6]} | changes


AGE = {"name": "age", "shape": [2], "datatype": "FP32", "data": [1, None]}
CITY = {"name": "city", "shape": [2], "datatype": "BYTES", "data": ["Oslo", None]}
HEIGHT = {"name": "height", "shape": [2], "datatype": "FP32", "data": [1, 2]}

INFER = {name: f"/v2/models/{name}/infer" for name in ("numbers", "mixed", "image", "text")}


@pytest.mark.parametrize("data", [[1, 2, 3.5, -4], [[1, 2], [3.5, -4]]], ids=["flat", "nested"])
def test_answers_flat_and_nested_data_alike(ask, data):
    reply = ask("POST", INFER["numbers"], {"inputs": [tensor(data=data)]})
    assert reply.status == 200
    assert reply.body == {
        "model_name": "numbers",
        "model_version": "1",
        "outputs": [{"name": "value", "shape": [2], "datatype": "FP32", "data": [6.0, -1.0]}],
    }


def test_echoes_the_id_and_gives_the_outputs_that_are_asked_for_in_their_order(ask):
    body = {"id": "fourty-two", "parameters": {"binary_data_output": False}, "inputs": [pixels()]}
    body["outputs"] = [{"name": "probabilities", "parameters": {"binary_data": False}}, {"name": "label"}]
    reply = ask("POST", INFER["image"], body)
    assert reply.body["id"] == "fourty-two"
    assert [output["name"] for output in reply.body["outputs"]] == ["probabilities", "label"]
    assert reply.body["outputs"][0]["shape"] == [1, 2]
    assert reply.body["outputs"][1] == {"name": "label", "shape": [1], "datatype": "INT64", "data": [0]}


def test_nulls_are_gaps_where_the_column_may_have_them(ask):
    reply = ask("POST", INFER["mixed"], {"inputs": [HEIGHT, CITY, AGE]})
    assert reply.status == 200
    assert reply.body["outputs"][0]["data"] == ["yes", "yes"]


def test_a_matrix_may_have_gaps_in_the_columns_that_allow_them(ask):
    reply = ask("POST", INFER["numbers"], {"inputs": [tensor(data=[1, None, 3, 4])]})
    assert reply.body["outputs"][0]["data"] == [0.0, 14.0]


def test_strings_are_answered_as_bytes_tensors(ask):
    body = {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["why", "no"]}]}
    reply = ask("POST", INFER["text"], body)
    label = reply.body["outputs"][0]
    assert label == {"name": "label", "shape": [2], "datatype": "BYTES", "data": ["question", "statement"]}


def test_unknown_fields_of_the_envelope_are_passed_over_as_other_servers_do(ask):
    reply = ask(
        "POST", INFER["numbers"], {"model_name": "numbers", "inputs": [tensor(parameters={"content_type": "np"})]}
    )
    assert reply.status == 200


HUGE = 10**12


@pytest.mark.parametrize(
    ("model", "inputs", "code", "field", "words"),
    [
        ("numbers", [tensor(shape=[HUGE, 2])], "wrong_shape", "inputs[0].data", "must have 2000000000000"),
        ("numbers", [tensor(shape=[2**63, 2])], "wrong_shape", "inputs[0].data", "has 4 values"),
        ("numbers", [tensor(shape=[2, HUGE])], "wrong_shape", "inputs[0].shape", "must be [-1, 2]"),
        ("numbers", [tensor(shape=[4])], "wrong_shape", "inputs[0].shape", "must be [-1, 2]"),
        ("numbers", [tensor(shape=[-1, 2])], "wrong_shape", "inputs[0].shape", "the number of rows"),
        ("numbers", [tensor(shape=[2.0, 2])], "wrong_shape", "inputs[0].shape", "must be [-1, 2]"),
        ("numbers", [tensor(shape=[True, 2], data=[1, 2])], "wrong_shape", "inputs[0].shape", "must be [-1, 2]"),
        ("numbers", [tensor(shape=None)], "wrong_shape", "inputs[0].shape", "None, but must be"),
        ("numbers", [tensor(shape=[0, 2], data=[])], "empty_inputs", "inputs[0].shape", "at least one row"),
        ("numbers", [tensor(shape=[1, 2])], "wrong_shape", "inputs[0].data", "has 4 values, but must have 2"),
        ("numbers", [tensor(data=[[1, 2], [3]])], "wrong_shape", "inputs[0].data[1]", "must be a list of 2"),
        ("numbers", [tensor(data=[[1, 2], 3])], "wrong_shape", "inputs[0].data[1]", "is 3, but must be a list"),
        ("numbers", [tensor(data=[[1, 2]])], "wrong_shape", "inputs[0].data", "has 1 items"),
        ("numbers", [tensor(data=[[1, 2], [3, [4]]])], "wrong_type", "inputs[0].data[1][1]", "must be a number"),
        ("numbers", [tensor(data=[1, 2, 3, "4"])], "wrong_type", "inputs[0].data[3]", "'4', but must be a number"),
        ("numbers", [tensor(data=[1, 2, None, 4])], "missing_value", "inputs[0].data[2]", "without gaps"),
        ("numbers", [tensor(data=[1, 2, 3, 1e300])], "out_of_range", "inputs[0].data[3]", "1e+300"),
        ("numbers", [tensor(data="1,2,3,4")], "wrong_type", "inputs[0].data", "must be a list"),
        ("numbers", [tensor(data=None)], "missing_field", "inputs[0].data", "must be a list"),
        ("numbers", [tensor(datatype="FP64")], "unsupported_datatype", "inputs[0].datatype", "must be FP32 for input"),
        ("numbers", [tensor(datatype="COMPLEX")], "unsupported_datatype", "inputs[0].datatype", "must be FP32"),
        ("numbers", [tensor(datatype=None)], "unsupported_datatype", "inputs[0].datatype", "must be FP32"),
        ("numbers", [tensor(), tensor()], "duplicate_tensor", "inputs[1].name", "must be named once"),
        ("numbers", [tensor(name="feature")], "unknown_input", "inputs[0].name", "did you mean 'features'?"),
        ("numbers", [tensor(name=5)], "wrong_type", "inputs[0]", "an object with a name"),
        ("numbers", ["features"], "wrong_type", "inputs[0]", "an object with a name"),
        ("numbers", [], "empty_inputs", "inputs", "at least one tensor"),
        ("numbers", {}, "wrong_type", "inputs", "a list of tensors"),
        ("numbers", None, "missing_field", "inputs", "a list of tensors"),
        ("mixed", [AGE, CITY], "missing_input", "inputs", "'height' is missing"),
        (
            "mixed",
            [AGE, CITY, HEIGHT | {"shape": [1], "data": [1]}],
            "wrong_shape",
            "inputs",
            "1 rows, but must have 2",
        ),
        ("mixed", [AGE, CITY | {"data": ["Oslo", 1]}, HEIGHT], "wrong_type", "inputs[1].data[1]", "a string"),
        ("image", [pixels(data=[1, 2, 3, 4, 5, 256])], "out_of_range", "inputs[0].data[5]", "from 0 to 255"),
        ("image", [pixels(data=[[[1, 2, 3], [4, 5, -6]]])], "out_of_range", "inputs[0].data[0][1][2]", "-6"),
        ("image", [pixels(data=[1, 2, 3, 4, 5, 2**64])], "wrong_type", "inputs[0].data[5]", "a whole number"),
        ("image", [pixels(data=[[1, 2, 3], [4, 5, 6]])], "wrong_shape", "inputs[0].data", "a list of 1"),
        ("image", [pixels(data=[1.0, 2, 3, 4, 5, 6])], "wrong_type", "inputs[0].data[0]", "a whole number"),
        ("image", [pixels(datatype="INT64")], "unsupported_datatype", "inputs[0].datatype", "must be UINT8"),
    ],
)
def test_refuses_tensors_that_do_not_fit_by_their_place(ask, *, model, inputs, code, field, words):
    reply = ask("POST", INFER[model], {"inputs": inputs})
    assert reply.status == 400, reply.body
    assert (reply.body["error"]["code"], reply.body["error"]["field"]) == (code, field)
    assert words in reply.body["error"]["message"]


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"id": 42}, "wrong_type", "id"),
        ({"parameters": []}, "wrong_type", "parameters"),
        ({"outputs": [{"name": "lable"}]}, "unknown_output", "outputs[0].name"),
        ({"outputs": [{"name": "value"}, {"name": "value"}]}, "duplicate_tensor", "outputs[1].name"),
        ({"outputs": "value"}, "wrong_type", "outputs"),
        ({"outputs": [None]}, "wrong_type", "outputs[0]"),
        ({"outputs": [{"name": "value", "parameters": 1}]}, "wrong_type", "outputs[0].parameters"),
        ({"inputs": [tensor(parameters=[])]}, "wrong_type", "inputs[0].parameters"),
        (
            {"outputs": [{"name": "value", "parameters": {"classification": 3}}]},
            "unsupported_parameter",
            "outputs[0].parameters.classification",
        ),
        (
            {"inputs": [tensor(parameters={"shared_memory_region": "a"})]},
            "unsupported_parameter",
            "inputs[0].parameters.shared_memory_region",
        ),
    ],
)
def test_refuses_an_envelope_that_does_not_fit(ask, changes, code, field):
    reply = ask("POST", INFER["numbers"], {"inputs": [tensor()]} | changes)
    assert reply.status == 400
    assert (reply.body["error"]["code"], reply.body["error"]["field"]) == (code, field)


def test_null_is_as_good_as_nothing_in_the_envelope(ask):
    reply = ask("POST", INFER["numbers"], {"id": None, "parameters": None, "outputs": None, "inputs": [tensor()]})
    assert reply.status == 200
    assert "id" not in reply.body


@pytest.mark.parametrize("outputs", [None, []])
def test_no_wish_for_outputs_gives_them_all(ask, outputs):
    reply = ask("POST", INFER["image"], {"inputs": [pixels()], "outputs": outputs})
    assert [output["name"] for output in reply.body["outputs"]] == ["label", "probabilities"]


def test_metadata_names_tensors_versions_and_candidate(ask):
    reply = ask("GET", "/v2/models/mixed")
    assert reply.body["name"] == "mixed"
    assert reply.body["versions"] == ["1"]
    assert reply.body["inputs"][1] == {"name": "city", "datatype": "BYTES", "shape": [-1]}
    assert reply.body["outputs"][1] == {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}
    facts = reply.body["parameters"]
    assert (facts["seq"], facts["candidate"], facts["refused_versions"]) == (2, "dense/none", 0)
