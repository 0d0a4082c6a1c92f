"""The base of every record: frozen, strict about its fields, the same bytes for the same content."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


def canonical_json(value: Any) -> bytes:
    r"""JSON with sorted keys and no blanks: equal values give equal bytes.

    >>> canonical_json({"b": 1, "a": "é"})
    b'{"a":"\xc3\xa9","b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_hex(content: bytes) -> str:
    """The SHA-256 digest of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


class Record(BaseModel):
    """A frozen fact that one step hands to the next."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def to_bytes(self) -> bytes:
        """Canonical JSON of this record."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: what this record is called by its content."""
        return sha256_hex(self.to_bytes())
