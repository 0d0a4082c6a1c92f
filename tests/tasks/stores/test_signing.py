import base64
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.errors import IntegrityError
from tasks.contracts.manifest import JOURNAL_TYPE, POINTER_TYPE, Pointer
from tasks.stores.signing import seal, seal_record, unseal, unseal_record

POINTER = Pointer(seq=3, version="7", manifest="ab" * 32)


@given(payload=st.binary(max_size=300), kind=st.text(max_size=30))
def test_what_is_sealed_is_unsealed(payload: bytes, kind: str) -> None:
    assert unseal(seal(payload, kind), kind) == payload


def test_an_envelope_has_the_three_fields_of_dsse() -> None:
    fields = json.loads(seal(b"payload", "text/plain"))
    assert fields == {
        "payload": base64.b64encode(b"payload").decode(),
        "payloadType": "text/plain",
        "signatures": [],
    }


def test_an_envelope_may_carry_signatures() -> None:
    signed = json.loads(seal(b"payload", "text/plain")) | {"signatures": [{"keyid": "k", "sig": "c2ln"}]}
    assert unseal(json.dumps(signed).encode(), "text/plain") == b"payload"


def test_refuses_an_envelope_of_another_type() -> None:
    words = re.escape(f"envelope holds '{POINTER_TYPE}', but must hold '{JOURNAL_TYPE}'")
    with pytest.raises(IntegrityError, match=words):
        unseal(seal(b"{}", POINTER_TYPE), JOURNAL_TYPE)


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        (b"", "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", "it must have payload, payloadType and signatures"),
        (b"{}", "it must have payload, payloadType and signatures"),
        (b'{"payload":"","payloadType":"t","signatures":[],"more":1}', "it must have payload, payloadType and"),
        (b'{"payload":1,"payloadType":"t","signatures":[]}', "payload and payloadType must be strings"),
        (b'{"payload":"","payloadType":null,"signatures":[]}', "payload and payloadType must be strings"),
        (b'{"payload":"","payloadType":"t","signatures":{}}', "signatures must be a list"),
        (b'{"payload":"e30","payloadType":"t","signatures":[]}', "payload is not base64"),
        (b'{"payload":"e3 0=","payloadType":"t","signatures":[]}', "payload is not base64"),
        ('{"payload":"é","payloadType":"t","signatures":[]}'.encode(), "payload is not base64"),
    ],
)
def test_refuses_what_is_no_envelope(envelope: bytes, reason: str) -> None:
    with pytest.raises(IntegrityError, match=f"envelope is broken, but must be DSSE JSON: {reason}"):
        unseal(envelope, "t")


def test_a_record_comes_back_as_it_was() -> None:
    assert unseal_record(Pointer, seal_record(POINTER, POINTER_TYPE), POINTER_TYPE, "s3://b/k") == POINTER


def test_says_where_a_broken_envelope_lies() -> None:
    with pytest.raises(IntegrityError, match="s3://b/k: envelope is broken"):
        unseal_record(Pointer, b"torn", POINTER_TYPE, "s3://b/k")


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b'{"seq":"three","version":"7","manifest":"m"}', "seq: "),
        (b'{"seq":3,"version":"7"}', "manifest: Field required"),
        (b'{"seq":3,"version":"7","manifest":"m","more":1}', "more: Extra inputs are not permitted"),
        (b"torn", "Pointer: Invalid JSON"),
    ],
)
def test_says_which_field_of_a_record_is_wrong(payload: bytes, field: str) -> None:
    with pytest.raises(IntegrityError, match=rf"s3://b/k holds no sound Pointer \({field}"):
        unseal_record(Pointer, seal(payload, POINTER_TYPE), POINTER_TYPE, "s3://b/k")
