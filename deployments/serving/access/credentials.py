"""The token in a request's head, wherever its client can put one."""

import base64
import binascii
from collections.abc import Mapping


def token_of(headers: Mapping[bytes, bytes]) -> bytes:
    """The token of `X-Api-Key`, `Authorization: Bearer`, or the password of `Authorization: Basic`; empty if none.

    Browsers, Prometheus and many clients speak Basic: any user name will do. `X-Api-Key` goes first, for a proxy in
    front may want `Authorization` for itself.

    >>> token_of({b"authorization": b"Bearer abc"}), token_of({b"authorization": b"basic dXNlcjphYmM="})
    (b'abc', b'abc')
    >>> token_of({b"authorization": b"Digest abc"}), token_of({})
    (b'', b'')
    """
    token = headers.get(b"x-api-key")
    if token is not None:
        return token.strip()
    scheme, _, rest = headers.get(b"authorization", b"").partition(b" ")
    scheme = scheme.lower()
    if scheme == b"bearer":
        return rest.strip()
    return _password(rest) if scheme == b"basic" else b""


def _password(pair: bytes) -> bytes:
    try:
        return base64.b64decode(pair.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
