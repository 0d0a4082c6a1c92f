"""One HTTP request and its reply over ASGI: headers, a body that is never larger than allowed, a reply in one piece."""

import re
import secrets
from dataclasses import dataclass, replace
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from deployments.serving.encodings import Inflater, accepted, deflated
from deployments.serving.refusal import Refusal, shown

_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_MAY_BE_JSON = frozenset(
    (b"", b"application/json", b"application/octet-stream", b"text/plain", b"application/x-www-form-urlencoded")
)
"""What clients call JSON: tritonclient nothing, its C++ sister octet-stream, curl a form."""


class Gone(Exception):  # noqa: N818 - what happened, not whose fault it is
    """The client hung up before its request was whole; there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """What came in, the body still unread."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    """Names in lower case; of a repeated header the last."""
    receive: Receive
    id: str
    """The client's `X-Request-Id` if it is a short plain word, else a fresh one."""

    @classmethod
    def of(cls, scope: Scope, receive: Receive) -> "Request":
        """Reads the request's head out of an ASGI scope."""
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        name = given.decode() if _SANE_ID.fullmatch(given) else fresh_id()
        return cls(scope["method"], _path(scope), headers, receive, name)

    def media_type(self) -> bytes:
        """What the body says it is, in lower case and without parameters; empty if it does not say."""
        said = self.headers.get(b"content-type", b"")
        return said if said == b"application/json" else said.partition(b";")[0].strip().lower()

    def check_json(self) -> None:
        """Lets pass what may be JSON.

        Raises:
            Refusal: 415 if the body is said to be clearly something else.
        """
        kind = self.media_type()
        if kind not in _MAY_BE_JSON and b"/" in kind and not kind.endswith(b"+json"):
            said = shown(kind.decode("latin-1"))
            message = f"Content-Type is {said}, but must be application/json: see /docs for an example"
            raise Refusal("unsupported_media_type", message, status=415)

    async def body(self, limit: int) -> bytes:
        """The whole body, unpacked.

        Args:
            limit: Most bytes, before and after unpacking; a longer body is refused as soon as its length is known.

        Raises:
            Refusal: 413 for too long a body, 415 for an unknown compression, 400 for a broken one.
            Gone: If the client hung up.
        """
        encoding = self.headers.get(b"content-encoding", b"identity").lower()
        inflater = None if encoding == b"identity" else Inflater(encoding)
        declared = self.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared[:20]) > limit:
            raise _too_large(limit)
        return await self._read(limit, inflater)

    async def _read(self, limit: int, inflater: Inflater | None) -> bytes:
        chunks: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Gone
            chunk = message.get("body", b"")
            if inflater is not None:
                chunk = inflater.take(chunk, limit - size)
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            chunks.append(chunk)
            more = message.get("more_body", False)
        if inflater is not None:
            inflater.end()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def fresh_id() -> str:
    """A name for a request that brought none."""
    return secrets.token_hex(8)


def _path(scope: Scope) -> str:
    """The path with its escapes undone, but one with an escaped slash as it is: no name of ours has a slash."""
    raw: bytes = scope.get("raw_path") or b""
    if b"%" in raw and (b"%2f" in raw or b"%2F" in raw):
        return raw.decode("latin-1")
    path: str = scope["path"]
    return path


def _too_large(limit: int) -> Refusal:
    message = f"the body is larger than {limit} bytes, but must not be: send fewer rows (limit: INGOT_MAX_BODY_BYTES)"
    return Refusal("body_too_large", message, status=413)


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes out."""

    body: bytes
    status: int = 200
    media_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def packed_for(self, request: Request) -> "Reply":
        """The reply as this client takes it: compressed if it accepts that."""
        encoding = accepted(request.headers.get(b"accept-encoding", b""))
        headers = (*self.headers, (b"vary", b"accept-encoding"))
        if not encoding:
            return replace(self, headers=headers)
        return replace(self, body=deflated(self.body, encoding), headers=(*headers, (b"content-encoding", encoding)))

    async def send(self, send: Send, request_id: str) -> None:
        """Sends it in one piece, with its length and the request's name."""
        headers = [
            (b"content-type", self.media_type),
            (b"content-length", str(len(self.body)).encode()),
            (b"x-request-id", request_id.encode()),
            *self.headers,
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def json_reply(value: Any, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    """A JSON reply; numpy arrays and numbers are written in their own shortest digits."""
    return Reply(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), status, headers=headers)


def error_reply(error: Refusal, request_id: str) -> Reply:
    """The body every error has."""
    content = {"code": error.code, "field": error.field, "message": str(error), "request_id": request_id}
    return json_reply({"error": content}, error.status, error.headers)
