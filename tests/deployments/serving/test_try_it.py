import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.serving.try_it import canvas_of, example_rows, square_of
from tasks.contracts.signature import Signature, Tensor


def pixels(names, datatype="FP32"):
    tensor = Tensor(name="features", datatype=datatype, shape=(-1, len(names)), columns=names)
    return Signature(inputs=(tensor,), outputs=())


def picture(shape):
    return Signature(inputs=(Tensor(name="image", datatype="UINT8", shape=(-1, *shape), columns=("p",)),), outputs=())


@given(st.integers(4, 12), st.sampled_from((0, 1)), st.sampled_from("_x-"), st.randoms())
def test_columns_named_by_row_and_column_are_a_square_in_any_order(side, first, between, random):
    names = [
        f"pixel_{row}{between}{column}" for row in range(first, side + first) for column in range(first, side + first)
    ]
    mixed = random.sample(names, len(names))
    assert square_of(tuple(mixed)) == names


@pytest.mark.parametrize(
    "names",
    [
        [f"pixel_{n}" for n in range(15)],
        [f"pixel_{n}" for n in range(2, 18)],
        [*(f"pixel_{n}" for n in range(15)), "age"],
        [*(f"pixel_{n}" for n in range(15)), "other_15"],
        [f"p_{n // 8}_{n % 8}" for n in range(16)],
        ["a_0_0"],
        [f"x{'9' * 5000}{n}" for n in range(16)],
    ],
)
def test_other_columns_are_none(names):
    assert square_of(tuple(names)) is None


@pytest.mark.parametrize(("largest", "top"), [(1, 1), (0.5, 1), (16, 16), (7, 16), (200, 255)])
def test_full_light_is_told_by_the_examples(largest, top):
    names = tuple(f"p_{n // 4}_{n % 4}" for n in range(16))
    row = dict.fromkeys(names, 0.0) | {names[3]: largest}
    made = canvas_of(pixels(names), [row])
    assert (made["height"], made["width"], made["top"], made["columns"]) == (4, 4, top, list(names))


@pytest.mark.parametrize("value", [-1.0, 256.0, None])
def test_examples_that_are_no_picture_get_fields(value):
    names = tuple(f"p_{n // 4}_{n % 4}" for n in range(16))
    assert canvas_of(pixels(names), [dict.fromkeys(names, 0.0) | {names[3]: value}]) is None
    assert canvas_of(pixels(names), []) is None


@pytest.mark.parametrize("shape", [(5, 7), (1, 5, 7), (3, 5, 7), (5, 7, 1), (5, 7, 3)])
def test_pictures_in_every_layout_are_drawn(shape):
    made = canvas_of(picture(shape), [])
    assert (made["height"], made["width"], made["top"], made["key"]) == (5, 7, 255, "image")


@pytest.mark.parametrize("shape", [(600, 600), (5, 7, 9), (2, 2, 2, 2), (5,)])
def test_what_is_no_picture_to_draw_is_not(shape):
    assert canvas_of(picture(shape), []) is None


def test_example_rows_are_answered(library, ask):
    for name in ("mixed", "numbers", "image", "text"):
        rows = example_rows(library.find(name))
        assert len(rows) >= 2
        assert ask("POST", f"/predict/{name}", {"inputs": rows}).status == 200
