import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.contracts.manifest import JournalEntry, Manifest, Pointer, key_of
from tasks.contracts.record import canonical_json


@pytest.mark.parametrize("record", [Manifest, JournalEntry, Pointer], ids=lambda record: record.__name__.lower())
def test_the_schema_is_the_one_other_programs_read(record, snapshot):
    snapshot(f"{record.__name__.lower()}.json", json.dumps(record.model_json_schema(), indent=1) + "\n")


@given(st.lists(st.text(), min_size=4, max_size=4, unique=True), st.integers(0, 2**32))
def test_every_part_of_the_key_counts(parts, seed):
    key = key_of(*parts, seed)
    assert key_of(*parts, seed + 1) != key
    for i in range(4):
        changed = [part + "x" if j == i else part for j, part in enumerate(parts)]
        assert key_of(*changed, seed) != key


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
def test_canonical_json_does_not_know_the_order_of_keys(value):
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))
    assert json.loads(canonical_json(value)) == value


def test_a_record_refuses_what_it_does_not_know():
    with pytest.raises(ValidationError):
        Pointer.model_validate({"seq": 1, "version": "1", "manifest": "m", "expires": "e", "extra": 1})
