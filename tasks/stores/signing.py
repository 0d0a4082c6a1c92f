"""The envelope around everything that is published: DSSE (Dead Simple Signing Envelope) v1, as JSON.

`{"payload": base64, "payloadType": type, "signatures": [...]}`. The type is bound to the payload, so a pointer can
never be passed off as a journal entry. Signatures are not made yet: the list stays empty.
Source: https://github.com/secure-systems-lab/dsse/blob/master/envelope.md
"""

import base64
import binascii
import json
from typing import Any, TypeVar

from pydantic import ValidationError

from tasks.contracts.errors import IntegrityError
from tasks.contracts.record import Record, canonical_json

AnyRecord = TypeVar("AnyRecord", bound=Record)


def seal(payload: bytes, payload_type: str) -> bytes:
    """The envelope around a payload: equal payloads give equal bytes.

    >>> seal(b"{}", "text/plain")
    b'{"payload":"e30=","payloadType":"text/plain","signatures":[]}'
    """
    encoded = base64.b64encode(payload).decode()
    return canonical_json({"payload": encoded, "payloadType": payload_type, "signatures": []})


def unseal(envelope: bytes, payload_type: str) -> bytes:
    """The payload of an envelope of that type.

    Raises:
        IntegrityError: the bytes are no DSSE envelope, or one of another type.
    """
    fields = _fields(envelope)
    if fields["payloadType"] != payload_type:
        raise IntegrityError(
            f"envelope holds {fields['payloadType']!r}, but must hold {payload_type!r}: somebody moved or replaced it"
        )
    try:
        return base64.b64decode(fields["payload"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise _broken("payload is not base64") from error


def seal_record(record: Record, payload_type: str) -> bytes:
    """The envelope around a record's canonical JSON."""
    return seal(record.to_bytes(), payload_type)


def unseal_record(kind: type[AnyRecord], envelope: bytes, payload_type: str, place: str) -> AnyRecord:
    """The record in an envelope.

    Args:
        kind: The record to expect.
        envelope: What was read.
        payload_type: The type the envelope must name.
        place: Where it was read, for the message.

    Raises:
        IntegrityError: the envelope or the record in it is broken.
    """
    try:
        return kind.model_validate_json(unseal(envelope, payload_type))
    except IntegrityError as error:
        raise IntegrityError(f"{place}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or kind.__name__
        raise IntegrityError(
            f"{place} holds no sound {kind.__name__} ({field}: {first['msg']}): it was written by another program"
        ) from error


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
