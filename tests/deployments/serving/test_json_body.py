import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.serving.json_body import parse_object, with_null_for_nan
from deployments.serving.refusal import Refusal

words = st.text('a:"\\\x00é', max_size=3)
escaped = st.tuples(words, st.booleans()).map(lambda made: literal(*made))
leaves = st.sampled_from(["1", "-2.5", "null", "true", '"parameters"']) | escaped


def literal(text, everything):
    """A JSON string, with every character escaped or as few as need be."""
    if everything:
        return '"' + "".join(f"\\u{ord(character):04x}" for character in text) + '"'
    return json.dumps(text, ensure_ascii=False)


def object_of(pairs):
    return "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"


keys = escaped | st.sampled_from(['"inputs"', '"parameters"'])
documents = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]")
        | st.lists(st.tuples(keys, inner), max_size=4).map(object_of)
    ),
    max_leaves=14,
)
bodies = st.lists(st.tuples(keys, documents), max_size=4).map(object_of)


def has_a_key_twice(text):
    found = []

    def look(pairs):
        found.append(len({name for name, _ in pairs}) < len(pairs))

    json.loads(text, object_pairs_hook=look)
    return any(found)


@settings(max_examples=500, deadline=None)
@given(text=bodies)
def test_refuses_exactly_what_has_a_key_twice(text):
    if has_a_key_twice(text):
        with pytest.raises(Refusal) as refused:
            parse_object(text.encode())
        assert refused.value.code == "duplicate_key"
    else:
        assert parse_object(text.encode()) == json.loads(text)


def test_the_refusal_names_the_key():
    with pytest.raises(Refusal, match="key 'b' stands twice in one object, but must stand once") as refused:
        parse_object(b'{"a": [{"b": 1, "c": 2, "b": 3}]}')
    assert refused.value.field == "b"


@settings(max_examples=300, deadline=None)
@given(
    value=st.recursive(
        st.none() | st.just(float("nan")) | st.floats(allow_nan=False, allow_infinity=False) | st.text('aN"\\'),
        lambda inner: st.lists(inner, max_size=3),
    )
)
def test_nan_becomes_null_and_strings_stay(value):
    text = json.dumps([value])
    assert json.loads(with_null_for_nan(text.encode())) == json.loads(text, parse_constant=lambda _: None)


def test_a_string_that_is_never_closed_is_passed_over_once():
    body = b'[NaN, "' + b'\\"' * 500_000
    assert with_null_for_nan(body) == body.replace(b"NaN", b"null")
