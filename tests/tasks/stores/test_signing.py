import base64
import json
import random
import re

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.errors import ConfigError, InputError, IntegrityError
from tasks.contracts.manifest import JOURNAL_TYPE, POINTER_TYPE, Pointer
from tasks.stores.pem import key_id, new_key
from tasks.stores.signing import Keyring

OURS, ANOTHER = new_key().decode(), new_key().decode()
KEYRING = Keyring.from_environment({"INGOT_SIGNING_KEY": OURS})
STRANGER = Keyring.from_environment({"INGOT_SIGNING_KEY": ANOTHER})
POINTER = Pointer(seq=3, version="7", manifest="ab" * 32, expires="2026-12-01T00:00:00+00:00")


@given(payload=st.binary(max_size=300), kind=st.text(st.characters(codec="utf-8"), max_size=30))
def test_what_is_sealed_is_unsealed(payload: bytes, kind: str) -> None:
    assert KEYRING.unseal(KEYRING.seal(payload, kind), kind) == payload


def test_an_envelope_is_dsse_signed_over_type_and_payload() -> None:
    fields = json.loads(KEYRING.seal(b"payload", "text/plain"))
    (signature,) = fields.pop("signatures")
    assert fields == {"payload": base64.b64encode(b"payload").decode(), "payloadType": "text/plain"}
    key = load_pem_public_key(KEYRING.trusted_pem.encode())
    assert signature["keyid"] == key_id(key)
    # The example of the specification's pre-authentication encoding, written out by hand.
    key.verify(base64.b64decode(signature["sig"]), b"DSSEv1 10 text/plain 7 payload")


def test_the_same_record_gives_the_same_bytes() -> None:
    assert KEYRING.seal_record(POINTER, POINTER_TYPE) == KEYRING.seal_record(POINTER, POINTER_TYPE)


def test_no_bit_of_an_envelope_can_be_turned() -> None:
    envelope = KEYRING.seal_record(POINTER, POINTER_TYPE)
    for place in range(8 * len(envelope)):
        turned = bytearray(envelope)
        turned[place // 8] ^= 1 << place % 8
        with pytest.raises(IntegrityError):
            KEYRING.unseal(bytes(turned), POINTER_TYPE)


@given(st.integers(0, 2**32))
def test_no_torn_or_lengthened_envelope_is_accepted(seed: int) -> None:
    envelope, chance = KEYRING.seal_record(POINTER, POINTER_TYPE), random.Random(seed)
    cut = chance.randrange(len(envelope))
    for changed in (envelope[:cut], envelope + b" ", envelope[:cut] + b" " + envelope[cut:]):
        with pytest.raises(IntegrityError):
            KEYRING.unseal(changed, POINTER_TYPE)


def test_refuses_an_envelope_of_another_type() -> None:
    words = re.escape(f"envelope holds '{POINTER_TYPE}', but must hold '{JOURNAL_TYPE}'")
    with pytest.raises(IntegrityError, match=words):
        KEYRING.unseal(KEYRING.seal(b"{}", POINTER_TYPE), JOURNAL_TYPE)


def test_a_type_cannot_be_written_over() -> None:
    fields = json.loads(KEYRING.seal(b"{}", POINTER_TYPE)) | {"payloadType": JOURNAL_TYPE}
    with pytest.raises(IntegrityError, match="is not what key .* signed: somebody changed it"):
        KEYRING.unseal(json.dumps(fields).encode(), JOURNAL_TYPE)


def test_a_stranger_is_refused_and_said_how_to_be_let_in() -> None:
    with pytest.raises(IntegrityError, match="is signed by key '.{12}', but must be by .{12}: add it to INGOT"):
        KEYRING.unseal(STRANGER.seal(b"{}", "t"), "t")
    both = KEYRING.trusted_pem + STRANGER.trusted_pem
    assert Keyring.from_environment({"INGOT_TRUSTED_KEYS": both}).unseal(STRANGER.seal(b"{}", "t"), "t") == b"{}"


def test_a_borrowed_key_id_does_not_help_a_stranger() -> None:
    fields = json.loads(STRANGER.seal(b"{}", "t"))
    fields["signatures"][0]["keyid"] = json.loads(KEYRING.seal(b"", "t"))["signatures"][0]["keyid"]
    with pytest.raises(IntegrityError, match="is not what key .* signed"):
        KEYRING.unseal(json.dumps(fields).encode(), "t")


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        (b"", "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"1" * 10_000, "it is not JSON"),
        (b"[]", "it must have payload, payloadType and signatures"),
        (b"{}", "it must have payload, payloadType and signatures"),
        (b'{"payload":"","payloadType":"t","signatures":[],"more":1}', "it must have payload, payloadType and"),
        (b'{"payload":1,"payloadType":"t","signatures":[]}', "payload and payloadType must be strings"),
        (b'{"payload":"","payloadType":null,"signatures":[]}', "payload and payloadType must be strings"),
        (b'{"payload":"","payloadType":"t","signatures":{}}', "signatures must be a list"),
        (b'{"payload":"","payloadType":"t","signatures":[]}', "it must bear one signature, not 0"),
        (b'{"payload":"","payloadType":"t","signatures":[{},{}]}', "it must bear one signature, not 2"),
        (b'{"payload":"","payloadType":"t","signatures":["s"]}', "a signature must have keyid and sig"),
        (b'{"payload":"","payloadType":"t","signatures":[{"keyid":1,"sig":""}]}', "a signature must have keyid and"),
        (b'{"payload":"e30","payloadType":"t","signatures":[{"keyid":"","sig":""}]}', "payload is not base64"),
        (b'{"payload":"e3 0=","payloadType":"t","signatures":[{"keyid":"","sig":""}]}', "payload is not base64"),
        (b'{"payload":"","payloadType":"t","signatures":[{"keyid":"","sig":"e"}]}', "sig is not base64"),
    ],
)
def test_refuses_what_is_no_envelope(envelope: bytes, reason: str) -> None:
    with pytest.raises(IntegrityError, match=f"envelope is broken, but must be DSSE JSON: {reason}"):
        KEYRING.unseal(envelope, "t")


def test_a_record_comes_back_as_it_was() -> None:
    sealed = KEYRING.seal_record(POINTER, POINTER_TYPE)
    assert KEYRING.unseal_record(Pointer, sealed, POINTER_TYPE, "s3://b/k") == POINTER


def test_says_where_a_broken_envelope_lies() -> None:
    with pytest.raises(IntegrityError, match="s3://b/k: envelope is broken"):
        KEYRING.unseal_record(Pointer, b"torn", POINTER_TYPE, "s3://b/k")


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b'{"seq":"three","version":"7","manifest":"m","expires":"e"}', "seq: "),
        (b'{"seq":3,"version":"7","expires":"e"}', "manifest: Field required"),
        (b'{"seq":3,"version":"7","manifest":"m","expires":"e","more":1}', "more: Extra inputs are not permitted"),
        (b"torn", "Pointer: Invalid JSON"),
    ],
)
def test_says_which_field_of_a_record_is_wrong(payload: bytes, field: str) -> None:
    with pytest.raises(IntegrityError, match=rf"s3://b/k holds no sound Pointer \({field}"):
        KEYRING.unseal_record(Pointer, KEYRING.seal(payload, POINTER_TYPE), POINTER_TYPE, "s3://b/k")


def test_who_only_verifies_cannot_sign() -> None:
    verifier = KEYRING.verifying()
    assert verifier.unseal(KEYRING.seal(b"{}", "t"), "t") == b"{}"
    with pytest.raises(InputError, match="INGOT_SIGNING_KEY is not set, but what is published must be signed: name a"):
        verifier.seal(b"{}", "t")


def test_without_any_key_nobody_is_trusted() -> None:
    empty = Keyring.from_environment({})
    for ask in (empty.verifying, lambda: empty.unseal(KEYRING.seal(b"{}", "t"), "t")):
        with pytest.raises(InputError, match="INGOT_TRUSTED_KEYS is not set, but must name whose signatures count"):
            ask()


def test_what_is_signed_here_must_be_trusted_here() -> None:
    with pytest.raises(ConfigError, match="INGOT_SIGNING_KEY is key .*, but INGOT_TRUSTED_KEYS must list it: add its"):
        Keyring.from_environment({"INGOT_SIGNING_KEY": OURS, "INGOT_TRUSTED_KEYS": STRANGER.trusted_pem})
