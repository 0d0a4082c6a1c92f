import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deployments.serving.refusal import Refusal
from deployments.serving.tensors import flatten, place_at, to_array
from tasks.contracts.signature import Tensor


def at(index):
    return f"x[{index}]"


@given(hnp.arrays(np.int16, hnp.array_shapes(max_dims=4, max_side=4)))
def test_nested_and_flat_data_flatten_to_what_numpy_flattens_them_to(array):
    for data in (array.tolist(), array.ravel().tolist()):
        assert flatten(data, array.shape, "x") == array.ravel().tolist()


@given(hnp.array_shapes(min_dims=2, max_dims=4, max_side=4), st.data())
def test_one_item_too_few_anywhere_is_refused_at_its_place(shape, data):
    nested = np.zeros(shape, int).tolist()
    place, item = "x", nested
    for size in shape[: data.draw(st.integers(0, len(shape) - 1))]:
        step = data.draw(st.integers(0, size - 1))
        place, item = f"{place}[{step}]", item[step]
    item.pop()
    if not nested:
        return  # nothing left: flat data of no values, refused by its count
    with pytest.raises(Refusal) as refused:
        flatten(nested, shape, "x")
    assert refused.value.field == place
    assert refused.value.code == "wrong_shape"


@given(hnp.array_shapes(max_dims=4, max_side=5), st.data())
def test_a_place_is_the_index_that_numpy_unravels(shape, data):
    index = data.draw(st.integers(0, int(np.prod(shape)) - 1))
    expected = "x" + "".join(f"[{step}]" for step in np.unravel_index(index, shape))
    assert place_at("x", index, shape) == expected


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-(10**9), 10**9), min_size=1))
def test_numbers_become_the_float32_that_numpy_makes_of_them(values):
    made = to_array(Tensor(name="x", datatype="FP32", shape=(-1,)), values, at)
    np.testing.assert_array_equal(made, np.array(values, dtype=np.float64).astype(np.float32))
    assert made.dtype == np.float32


@given(st.lists(st.integers(-1, 256), min_size=1))
def test_pixels_are_bytes_or_refused_at_the_first_that_is_none(values):
    tensor = Tensor(name="x", datatype="UINT8", shape=(-1,))
    outside = [index for index, value in enumerate(values) if not 0 <= value <= 255]
    if not outside:
        np.testing.assert_array_equal(to_array(tensor, values, at), values)
        return
    with pytest.raises(Refusal) as refused:
        to_array(tensor, values, at)
    assert (refused.value.code, refused.value.field) == ("out_of_range", at(outside[0]))


def test_whole_numbers_of_64_bits_arrive_whole():
    tensor = Tensor(name="x", datatype="INT64", shape=(-1,))
    assert to_array(tensor, [2**63 - 1, -(2**63)], at).tolist() == [2**63 - 1, -(2**63)]
    with pytest.raises(Refusal, match=r"x\[1\] is 9223372036854775808, but must be a whole number of 64 bits"):
        to_array(tensor, [0, 2**63], at)


def test_a_matrix_may_have_gaps_in_the_columns_that_allow_them():
    tensor = Tensor(name="x", datatype="FP32", shape=(-1, 2), columns=("a", "b"), nullable=(False, True))
    made = to_array(tensor, [1, None, 3, 4], at)
    np.testing.assert_array_equal(made, np.array([1, np.nan, 3, 4], np.float32))
    with pytest.raises(Refusal, match=r"x\[2\] is null"):
        to_array(tensor, [1, 2, None, 4], at)


def test_a_message_shows_a_long_value_shortly():
    with pytest.raises(Refusal) as refused:
        to_array(Tensor(name="x", datatype="FP32", shape=(-1,)), ["y" * 10_000], at)
    assert len(str(refused.value)) < 200
