"""The quick way gives what the careful way gives, or nothing at all."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.serving.open_inference import read_tensors
from deployments.serving.plain_numbers import read_plain_numbers
from deployments.serving.refusal import Refusal


@pytest.fixture(scope="module")
def served(library):
    return library.find("numbers")


def careful(served, body):
    """As it goes with a body that the quick way does not take: a second list makes it pass."""
    return read_tensors(served, body[:-1] + b',"parameters":{"x":[]}}')


def tensor(data, shape=None, **changes):
    shape = [len(data) // 2, 2] if shape is None else shape
    return {"name": "features", "shape": shape, "datatype": "FP32", "data": data} | changes


def body(*tensors, **more):
    return json.dumps({"inputs": list(tensors), **more}).encode()


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.integers(-(2**70), 2**70)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=20), st.none() | st.text(max_size=5))
def test_numbers_are_the_same_on_both_ways(served, rows, name):
    flat = [value for row in rows for value in row]
    sent = body(tensor(flat)) if name is None else body(tensor(flat), id=name)
    quick = read_plain_numbers(served.manifest.signature, sent)
    slow = careful(served, sent)
    if quick is None:
        return
    assert np.array_equal(quick[0]["features"], slow.inputs["features"])
    assert quick[0]["features"].dtype == np.float32
    assert quick[1] == name


def test_a_plain_body_is_taken(served):
    inputs, name = read_plain_numbers(served.manifest.signature, body(tensor([1, 2.5, -3, 4e-3]), id="seven"))
    assert inputs["features"].tolist() == [[1.0, 2.5], [-3.0, np.float32(4e-3)]]
    assert name == "seven"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"[]",
        b"{}",
        b'{"inputs":[]}',
        b'{"inputs":[{"name":"features","shape":[1,2],"datatype":"FP32","data":[1,NaN]}]}',
        b'{"inputs":[{"name":"features","shape":[1,2],"datatype":"FP32","data":[1,2]}]} x',
        b'{"inputs":[{"name":"features","shape":[1,2],"datatype":"FP32","data":[1,2]}],"inputs":null}',
        b'{"inputs":[{"name":"features","name":"features","shape":[1,2],"datatype":"FP32","data":[1,2]}]}',
        body(tensor([1, None])),
        body(tensor([1, True])),
        body(tensor([1, "2"])),
        body(tensor([1, 1e39])),
        body(tensor([[1, 2]])),
        body(tensor([[1], [2]], [2, 1])),
        body(tensor([1, [2]], [1, 2])),
        body(tensor([1, 2, 3], [1, 2])),
        body(tensor([1, 2], [1, 2, 1])),
        body(tensor([1, 2], [2, 1])),
        body(tensor([1, 2], [10**12, 2])),
        body(tensor([], [0, 2])),
        body(tensor([1, 2], [1.0, 2])),
        body(tensor([1, 2], [True, 2])),
        body(tensor([1, 2], [-1, 2])),
        body(tensor([1, 2], datatype="FP64")),
        body(tensor([1, 2], name="other")),
        body(tensor([1, 2], name=None)),
        body(tensor([1, 2], more=1)),
        body(tensor([1, 2]), tensor([1, 2])),
        body(tensor([1, 2]), id=7),
        body(tensor([1, 2]), id=None),
        body(tensor([1, 2]), parameters={}),
        body(tensor([1, 2]), outputs=[]),
        b'{"inputs":"[[["}',
        b'{"inputs":[1,[],[]]}',
        b"[" * 100_000,
        b"\xff" * 100,
    ],
)
def test_everything_else_is_left_to_the_careful_way(served, sent):
    assert read_plain_numbers(served.manifest.signature, sent) is None


def test_a_model_of_other_inputs_is_left_to_the_careful_way(library):
    for name in ("mixed", "image", "text"):
        assert read_plain_numbers(library.find(name).manifest.signature, body(tensor([1, 2]))) is None


@given(st.binary(max_size=200))
def test_no_bytes_break_it(served, sent):
    try:
        read_tensors(served, sent)
    except Refusal:
        return
