import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

INFER = {name: f"/v2/models/{name}/infer" for name in ("numbers", "mixed", "image", "text")}
KINDS = {"FP32": "<f4", "UINT8": "u1", "INT64": "<i8"}


def packed(datatype, values):
    if datatype == "BYTES":
        contents = [value if isinstance(value, bytes) else value.encode() for value in values]
        return b"".join(struct.pack("<I", len(content)) + content for content in contents)
    return np.array(values, dtype=KINDS[datatype]).tobytes()


def described(name, shape, datatype, content, **changes):
    return {
        "name": name,
        "shape": shape,
        "datatype": datatype,
        "parameters": {"binary_data_size": len(content)},
    } | changes


def sent(ask, model, envelope, tail=b"", *, pad=0, header=None):
    head = json.dumps(envelope).encode() + b" " * pad
    length = str(len(head)).encode() if header is None else header
    return ask("POST", INFER[model], head + tail, headers=[(b"inference-header-content-length", length)])


def tensors_of(reply):
    """The outputs of a reply by name, those in JSON and those after it alike."""
    assert reply.headers["content-type"] == "application/octet-stream"
    length = int(reply.headers["inference-header-content-length"])
    told, tail = json.loads(reply.content[:length]), reply.content[length:]
    found = {}
    for output in told["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            values = output["data"]
        else:
            content, tail = tail[:size], tail[size:]
            values = unpacked(output["datatype"], content)
        found[output["name"]] = np.array(values).reshape(output["shape"]).tolist()
    assert tail == b""
    return found


def unpacked(datatype, content):
    if datatype != "BYTES":
        return np.frombuffer(content, KINDS[datatype])
    values = []
    while content:
        (length,) = struct.unpack_from("<I", content)
        values.append(content[4 : 4 + length].decode())
        content = content[4 + length :]
    return values


@pytest.mark.parametrize("pad", range(5))
def test_numbers_go_in_and_out_as_bytes_wherever_they_lie(ask, pad):
    content = packed("FP32", [1, 2, 3.5, -4])
    envelope = {"inputs": [described("features", [2, 2], "FP32", content)], "parameters": {"binary_data_output": True}}
    assert tensors_of(sent(ask, "numbers", envelope, content, pad=pad)) == {"value": [6.0, -1.0]}


def test_json_and_bytes_mix_on_both_sides_in_the_order_of_the_client(ask):
    city, age = packed("BYTES", ["Oslo", ""]), packed("FP32", [1, np.nan])
    inputs = [
        described("city", [2], "BYTES", city),
        {"name": "height", "shape": [2], "datatype": "FP32", "data": [1, 2]},
        described("age", [2], "FP32", age),
    ]
    outputs = [{"name": "probabilities"}, {"name": "label", "parameters": {"binary_data": True}}]
    found = tensors_of(sent(ask, "mixed", {"inputs": inputs, "outputs": outputs}, city + age))
    assert found["label"] == ["yes", "yes"]
    assert list(found) == ["probabilities", "label"]


def test_an_output_that_wants_json_gets_it_though_the_request_wants_bytes(ask):
    content = packed("UINT8", range(6))
    envelope = {
        "id": "7",
        "inputs": [described("image", [1, 2, 3], "UINT8", content)],
        "outputs": [{"name": "label", "parameters": {"binary_data": False}}, {"name": "probabilities"}],
        "parameters": {"binary_data_output": True},
    }
    reply = sent(ask, "image", envelope, content)
    told = json.loads(reply.content[: int(reply.headers["inference-header-content-length"])])
    assert told["id"] == "7"
    assert told["outputs"][0]["data"] == [0]
    assert told["outputs"][1]["parameters"] == {"binary_data_size": 8}


def test_bytes_in_and_json_out(ask):
    content = packed("BYTES", ["why", "WHY", "nø"])
    reply = sent(ask, "text", {"inputs": [described("text", [3], "BYTES", content)]}, content)
    assert reply.body["outputs"][0]["data"] == ["question", "question", "statement"]
    assert "inference-header-content-length" not in reply.headers


def test_a_body_without_json_is_the_one_input(ask):
    zero = [(b"inference-header-content-length", b"0")]
    reply = ask("POST", INFER["numbers"], packed("FP32", [1, 2, 3, 4]), headers=zero)
    assert tensors_of(reply) == {"value": [6.0, 14.0]}
    assert tensors_of(ask("POST", INFER["text"], b"why", headers=zero))["label"] == ["question"]
    for model, body, code in [("numbers", b"12345", "wrong_shape"), ("numbers", b"", "wrong_shape"),
                              ("mixed", b"1234", "missing_input"), ("text", b"\xff", "wrong_type")]:  # fmt: skip
        reply = ask("POST", INFER[model], body, headers=zero)
        assert (reply.status, reply.body["error"]["code"]) == (400, code)


FOUR = packed("FP32", [1, 2, 3, 4])


GAP, ENDLESS = packed("FP32", [1, 2, np.nan, 4]), packed("FP32", [1, 2, 3, np.inf])
ONE, TWO, LONG = packed("BYTES", ["a"]), packed("BYTES", ["a", "b"]), packed("BYTES", ["a" * 8])
SIZE = "inputs[0].parameters.binary_data_size"


@pytest.mark.parametrize(
    ("shape", "datatype", "content", "code", "field"),
    [
        ([10**12, 2], "FP32", FOUR, "wrong_shape", "inputs[0]"),
        ([2**62, 2], "FP32", FOUR, "wrong_shape", "inputs[0]"),
        ([1, 2], "FP32", FOUR, "wrong_shape", "inputs[0]"),
        ([2, 2], "FP64", FOUR, "unsupported_datatype", "inputs[0].datatype"),
        ([2, 2], "FP32", GAP, "missing_value", "inputs[0][1][0]"),
        ([2, 2], "FP32", ENDLESS, "out_of_range", "inputs[0][1][1]"),
        ([10**12], "BYTES", ONE, "wrong_shape", "inputs[0]"),
        ([2], "BYTES", LONG, "wrong_shape", "inputs[0]"),
        ([1], "BYTES", TWO, "wrong_shape", "inputs[0]"),
        ([1], "BYTES", b"\xff\xff\xff\xffab", "wrong_binary_size", "inputs[0][0]"),
        ([1], "BYTES", ONE + b"\0", "wrong_shape", "inputs[0]"),
        ([2], "BYTES", ONE + b"\1\0\0", "wrong_binary_size", "inputs[0][1]"),
        ([1], "BYTES", packed("BYTES", [b"\xff"]), "wrong_type", "inputs[0][0]"),
    ],
)
def test_bytes_that_do_not_fit_are_refused_by_their_place(ask, *, shape, datatype, content, code, field):
    model, name = ("text", "text") if datatype == "BYTES" else ("numbers", "features")
    reply = sent(ask, model, {"inputs": [described(name, shape, datatype, content)]}, content)
    assert reply.status == 400, reply.body
    assert (reply.body["error"]["code"], reply.body["error"]["field"]) == (code, field)


@pytest.mark.parametrize(
    ("changes", "tail", "code", "field"),
    [
        ({}, FOUR[:-1], "wrong_binary_size", SIZE),
        ({}, FOUR + b"x", "wrong_binary_size", "inputs"),
        ({"data": [1, 2, 3, 4]}, FOUR, "duplicate_data", "inputs[0].data"),
        *(
            ({"parameters": {"binary_data_size": size}}, FOUR, "wrong_binary_size", SIZE)
            for size in (-1, 17, 10**30, 16.0, "16", None, True)
        ),
    ],
)
def test_a_size_that_is_not_that_of_the_bytes_is_refused(ask, changes, tail, code, field):
    item = described("features", [2, 2], "FP32", FOUR, **changes)
    reply = sent(ask, "numbers", {"inputs": [item]}, tail)
    assert reply.status == 400, reply.body
    assert (reply.body["error"]["code"], reply.body["error"]["field"]) == (code, field)


@pytest.mark.parametrize("header", [b"-1", b"x", b"", b"99999", b"9" * 5000, b"1.0", "٣".encode()])
def test_a_header_length_that_is_none_is_400(ask, header):
    reply = sent(ask, "numbers", {"inputs": []}, header=header)
    assert (reply.status, reply.body["error"]["code"]) == (400, "wrong_binary_size")


def test_a_size_without_the_header_that_says_where_the_bytes_begin_is_400(ask):
    reply = ask("POST", INFER["numbers"], {"inputs": [described("features", [2, 2], "FP32", FOUR)]})
    assert (reply.status, reply.body["error"]["code"]) == (400, "wrong_binary_size")
    assert "Inference-Header-Content-Length" in reply.body["error"]["message"]


@pytest.mark.parametrize("value", [1, "true", None])
def test_a_wish_for_bytes_is_true_or_false(ask, value):
    tensor = {"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    output = {"name": "value", "parameters": {"binary_data": value}}
    for more in ({"parameters": {"binary_data_output": value}}, {"outputs": [output]}):
        assert ask("POST", INFER["numbers"], {"inputs": [tensor]} | more).body["error"]["code"] == "wrong_type"


floats = st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9)
quiet = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@quiet
@given(
    rows=st.lists(st.tuples(st.none() | floats, st.text(max_size=6), floats), min_size=1, max_size=5),
    pad=st.integers(0, 7),
)
def test_json_and_bytes_give_the_same_answers_for_mixed_columns(ask, rows, pad):
    ages, cities, heights = map(list, zip(*rows, strict=True))
    plain = {"age": ("FP32", ages), "city": ("BYTES", cities), "height": ("FP32", heights)}
    shape = [len(rows)]
    as_json = [{"name": name, "shape": shape, "datatype": kind, "data": data} for name, (kind, data) in plain.items()]
    filled = plain | {"age": ("FP32", [np.nan if age is None else age for age in ages])}
    contents = {name: packed(kind, data) for name, (kind, data) in filled.items()}
    as_bytes = [described(name, shape, kind, contents[name]) for name, (kind, _) in filled.items()]
    want = ask("POST", INFER["mixed"], {"inputs": as_json})
    envelope = {"inputs": as_bytes, "parameters": {"binary_data_output": True}}
    got = sent(ask, "mixed", envelope, b"".join(contents.values()), pad=pad)
    assert want.status == got.status
    if want.status == 200:
        found = tensors_of(got)
        for output in want.body["outputs"]:
            kind = np.float32 if output["datatype"] == "FP32" else object
            asked = np.array(output["data"], kind).reshape(output["shape"]).tolist()
            assert found[output["name"]] == asked


@quiet
@given(pixels=st.lists(st.integers(0, 255), min_size=6, max_size=24).map(lambda found: found[: len(found) // 6 * 6]))
def test_json_and_bytes_give_the_same_answers_for_images(ask, pixels):
    shape, content = [len(pixels) // 6, 2, 3], packed("UINT8", pixels)
    plain = {"name": "image", "shape": shape, "datatype": "UINT8", "data": pixels}
    want = ask("POST", INFER["image"], {"inputs": [plain]})
    got = sent(ask, "image", {"inputs": [described("image", shape, "UINT8", content)]}, content)
    assert (got.status, got.body) == (want.status, want.body)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    model=st.sampled_from(list(INFER)),
    body=st.binary(max_size=80),
    length=st.integers(-1, 90).map(str) | st.text(max_size=3),
)
def test_no_bytes_and_no_header_give_5xx(ask, model, body, length):
    head = [(b"inference-header-content-length", length.encode("utf-8", "replace"))]
    assert ask("POST", INFER[model], body, headers=head).status in (200, 400)
