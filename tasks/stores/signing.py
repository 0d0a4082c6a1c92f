"""The envelope around everything that is published: DSSE (Dead Simple Signing Envelope) v1, signed with Ed25519.

`{"payload": base64, "payloadType": type, "signatures": [{"keyid": ..., "sig": base64}]}`. The type is bound to the
payload, so a pointer can never be passed off as a journal entry. Signatures of Ed25519 do not vary, and an envelope is
only accepted byte for byte as we write it: the same record gives the same bytes, and no bit of them can be turned.
Source: https://github.com/secure-systems-lab/dsse/blob/master/envelope.md, protocol.md
"""

import base64
import binascii
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError

from tasks.contracts.errors import ConfigError, InputError, IntegrityError
from tasks.contracts.record import Record, canonical_json
from tasks.stores.pem import key_id, private_key, public_half, public_keys

AnyRecord = TypeVar("AnyRecord", bound=Record)

SIGNING_KEY = "INGOT_SIGNING_KEY"
TRUSTED_KEYS = "INGOT_TRUSTED_KEYS"


class Keyring:
    """The key that signs here, if there is one, and those that are trusted.

    More than one is trusted while keys are changed: add the new one everywhere, sign with it, then drop the old one
    once nothing that it signed is read any more.

    Args:
        signer: Signs; always trusted too.
        trusted: Verify.
    """

    def __init__(self, signer: Ed25519PrivateKey | None = None, trusted: Iterable[Ed25519PublicKey] = ()) -> None:
        self._signer = signer
        keys = [*trusted, *([signer.public_key()] if signer else [])]
        self._trusted = {key_id(key): key for key in keys}
        self._signer_id = key_id(signer.public_key()) if signer else ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Keyring":
        """The keys in INGOT_SIGNING_KEY and INGOT_TRUSTED_KEYS: PEM files, or their content.

        Where only the first is set, it alone is trusted.

        Raises:
            ConfigError: a variable holds no key, or what is signed here would not be trusted here.
        """
        signing, trusted = environment.get(SIGNING_KEY, ""), environment.get(TRUSTED_KEYS, "")
        signer = private_key(signing, SIGNING_KEY) if signing else None
        keys = public_keys(trusted, TRUSTED_KEYS) if trusted else ()
        if signer and keys and key_id(signer.public_key()) not in map(key_id, keys):
            raise ConfigError(
                f"{SIGNING_KEY} is key {key_id(signer.public_key())[:12]}, but {TRUSTED_KEYS} must list it: add its "
                "public half (openssl pkey -pubout)"
            )
        return cls(signer, keys)

    @property
    def trusted_pem(self) -> str:
        """The trusted keys, as INGOT_TRUSTED_KEYS takes them."""
        return b"".join(map(public_half, self._trusted.values())).decode()

    def verifying(self) -> "Keyring":
        """These trusted keys, without the one that signs.

        Raises:
            InputError: nobody is trusted here.
        """
        if not self._trusted:
            raise _nobody_is_trusted()
        return Keyring(trusted=self._trusted.values())

    def seal(self, payload: bytes, payload_type: str) -> bytes:
        """The signed envelope around a payload.

        Raises:
            InputError: there is no key to sign with.
        """
        if self._signer is None:
            raise InputError(
                f"{SIGNING_KEY} is not set, but what is published must be signed: name a key "
                "(openssl genpkey -algorithm ed25519 -out signing.pem), or let `ingot up` make one"
            )
        signature = self._signer.sign(_signed_bytes(payload, payload_type))
        return _written(payload, payload_type, self._signer_id, signature)

    def unseal(self, envelope: bytes, payload_type: str) -> bytes:
        """The payload of an envelope of that type, if a trusted key signed it.

        Raises:
            IntegrityError: the bytes are no DSSE envelope, one of another type, or not signed by whom we trust.
            InputError: nobody is trusted here.
        """
        payload, found_type, signer, signature = _read(envelope)
        if found_type != payload_type:
            raise IntegrityError(
                f"envelope holds {found_type!r}, but must hold {payload_type!r}: somebody moved or replaced it"
            )
        try:
            self._key(signer).verify(signature, _signed_bytes(payload, payload_type))
        except InvalidSignature as error:
            raise IntegrityError(
                f"envelope is not what key {signer[:12]} signed: somebody changed it, restore it"
            ) from error
        if _written(payload, payload_type, signer, signature) != envelope:
            raise _broken("it is not written as Ingot writes it, byte for byte")
        return payload

    def seal_record(self, record: Record, payload_type: str) -> bytes:
        """The signed envelope around a record's canonical JSON.

        Raises:
            InputError: there is no key to sign with.
        """
        return self.seal(record.to_bytes(), payload_type)

    def unseal_record(self, kind: type[AnyRecord], envelope: bytes, payload_type: str, place: str) -> AnyRecord:
        """The record in an envelope.

        Args:
            kind: The record to expect.
            envelope: What was read.
            payload_type: The type the envelope must name.
            place: Where it was read, for the message.

        Raises:
            IntegrityError: the envelope or the record in it is broken, or nobody we trust signed it.
            InputError: nobody is trusted here.
        """
        try:
            return kind.model_validate_json(self.unseal(envelope, payload_type))
        except IntegrityError as error:
            raise IntegrityError(f"{place}: {error}") from error
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or kind.__name__
            raise IntegrityError(
                f"{place} holds no sound {kind.__name__} ({field}: {first['msg']}): it was written by another program"
            ) from error

    def _key(self, signer: str) -> Ed25519PublicKey:
        if not self._trusted:
            raise _nobody_is_trusted()
        if signer not in self._trusted:
            known = ", ".join(name[:12] for name in self._trusted)
            raise IntegrityError(
                f"envelope is signed by key {signer[:12]!r}, but must be by {known}: add it to {TRUSTED_KEYS} if it is "
                "yours"
            )
        return self._trusted[signer]


def _nobody_is_trusted() -> InputError:
    return InputError(f"{TRUSTED_KEYS} is not set, but must name whose signatures count: a PEM file of public keys")


def _signed_bytes(payload: bytes, payload_type: str) -> bytes:
    """What is signed: DSSE's pre-authentication encoding, which binds the type and both lengths."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _written(payload: bytes, payload_type: str, signer: str, signature: bytes) -> bytes:
    signatures = [{"keyid": signer, "sig": base64.b64encode(signature).decode()}]
    encoded = base64.b64encode(payload).decode()
    return canonical_json({"payload": encoded, "payloadType": payload_type, "signatures": signatures})


def _read(envelope: bytes) -> tuple[bytes, str, str, bytes]:
    """Payload, type, key id and signature."""
    fields = _fields(envelope)
    signatures = fields["signatures"]
    if len(signatures) != 1:
        raise _broken(f"it must bear one signature, not {len(signatures)}")
    one = signatures[0]
    if not isinstance(one, dict) or {name: type(value) for name, value in one.items()} != {"keyid": str, "sig": str}:
        raise _broken("a signature must have keyid and sig, both strings")
    return _decoded(fields["payload"], "payload"), fields["payloadType"], one["keyid"], _decoded(one["sig"], "sig")


def _decoded(text: str, field: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _broken(f"{field} is not base64") from error


def _fields(envelope: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(envelope)
    except (ValueError, RecursionError) as error:
        raise _broken("it is not JSON") from error
    if not isinstance(fields, dict) or set(fields) != {"payload", "payloadType", "signatures"}:
        raise _broken("it must have payload, payloadType and signatures")
    if not isinstance(fields["payload"], str) or not isinstance(fields["payloadType"], str):
        raise _broken("payload and payloadType must be strings")
    if not isinstance(fields["signatures"], list):
        raise _broken("signatures must be a list")
    return fields


def _broken(reason: str) -> IntegrityError:
    return IntegrityError(f"envelope is broken, but must be DSSE JSON: {reason}")
