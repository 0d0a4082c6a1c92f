"""One HTTP request over ASGI: headers, and a body that is never larger than allowed."""

import itertools
import re
import secrets
from dataclasses import dataclass, field

from starlette.types import Receive, Scope

from deployments.serving.encodings import Inflater
from deployments.serving.note import Note
from deployments.serving.refusal import Refusal, shown

_PROCESS = secrets.token_hex(4)
_NUMBERS = itertools.count()
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
    peer: str = ""
    """The client's address."""
    note: Note = field(default_factory=Note)

    @classmethod
    def of(cls, scope: Scope, receive: Receive) -> "Request":
        """Reads the request's head out of an ASGI scope."""
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        name = given.decode() if _SANE_ID.fullmatch(given) else fresh_id()
        client = scope.get("client")
        return cls(scope["method"], _path(scope), headers, receive, name, client[0] if client else "")

    @property
    def sticky_key(self) -> bytes:
        """Who calls, as far as a canary is concerned; empty if nobody knows."""
        return self.note.caller.key.encode() or self.headers.get(b"x-session-id", b"")

    @property
    def gone(self) -> bool:
        """Whether the client has hung up, as far as uvicorn knows; other carriers do not tell without being awaited."""
        return getattr(getattr(self.receive, "__self__", None), "disconnected", False)

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
        size, came, more = 0, 0, True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Gone
            chunk = message.get("body", b"")
            came += len(chunk)
            if inflater is not None:
                chunk = inflater.take(chunk, limit - size)
            size += len(chunk)
            if size > limit or came > limit:
                raise _too_large(limit)
            chunks.append(chunk)
            more = message.get("more_body", False)
        self.note.body_bytes = size
        if inflater is not None:
            inflater.end()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def fresh_id() -> str:
    """A name for a request that brought none: the process's own, and a number."""
    return f"{_PROCESS}{next(_NUMBERS):08x}"


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
