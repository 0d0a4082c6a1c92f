"""One HTTP request and its reply over ASGI: headers, a body that is never larger than allowed, a reply in one piece."""

import re
import secrets
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from deployments.serving.access.caller import Caller
from deployments.serving.library import Served
from deployments.serving.question import Arrays, Question
from deployments.serving.refusal import Refusal

_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Gone(Exception):  # noqa: N818 - what happened, not whose fault it is
    """The client hung up before its request was whole; there is nobody to answer."""


@dataclass(slots=True)
class Note:
    """What is learned about a request while it is answered: for the books and the headers, never for the answer."""

    caller: Caller | None = None
    model: str = ""
    """As the path has it: a client's word."""
    version: str = ""
    """Set once a version that is served answers."""
    rows: int = 0
    body_bytes: int = 0
    run_seconds: float = 0.0
    """What its rows took of the session's time."""
    endpoint: str = ""
    """The name of the handler; empty until a path was found."""
    parse: float = 0.0
    """Seconds from the body's end to a question that fits."""
    queue: float = 0.0
    """Seconds that the question waited for its run."""
    run: float = 0.0
    """Seconds of the run, which it may have shared."""
    write: float = 0.0
    """Seconds from the outputs to the reply's bytes."""
    asked: tuple[Served, Question, Arrays] | None = None
    """What was answered, by whom and with what, for those who look at it afterwards."""

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """`X-Model-Version`, and the parts as `Server-Timing` tells them, in milliseconds."""
        version = (b"x-model-version", self.version.encode())
        if not self.rows:
            return (version,) if self.version else ()
        parts = (self.parse * 1e3, self.queue * 1e3, self.run * 1e3, self.write * 1e3)
        return version, (b"server-timing", b"parse;dur=%.3f, queue;dur=%.3f, run;dur=%.3f, write;dur=%.3f" % parts)


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
        name = given.decode() if _SANE_ID.fullmatch(given) else secrets.token_hex(8)
        client = scope.get("client")
        return cls(scope["method"], scope["path"], headers, receive, name, client[0] if client else "")

    @property
    def sticky_key(self) -> bytes:
        """Who calls, as far as a canary is concerned; empty if nobody knows."""
        caller = self.note.caller
        return caller.key.encode() if caller is not None and caller.key else self.headers.get(b"x-session-id", b"")

    @property
    def gone(self) -> bool:
        """Whether the client has hung up, as far as uvicorn knows; other carriers do not tell without being awaited."""
        return getattr(getattr(self.receive, "__self__", None), "disconnected", False)

    async def body(self, limit: int) -> bytes:
        """The whole body.

        Args:
            limit: Most bytes; a longer body is refused as soon as its length is known.

        Raises:
            Refusal: 413 for too long a body, 415 for a compressed one.
            Gone: If the client hung up.
        """
        encoding = self.headers.get(b"content-encoding", b"identity")
        if encoding.lower() != b"identity":
            message = (
                f"Content-Encoding is {encoding[:40].decode('latin-1')}, but must be identity: send it uncompressed"
            )
            raise Refusal("unsupported_encoding", message, status=415)
        declared = self.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared[:20]) > limit:
            raise _too_large(limit)
        return await self._read(limit)

    async def _read(self, limit: int) -> bytes:
        chunks: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Gone
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            chunks.append(chunk)
            more = message.get("more_body", False)
        self.note.body_bytes = size
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


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

    async def send(self, send: Send, request_id: str, more: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """Sends it in one piece, with its length, the request's name, and more headers."""
        headers = [
            (b"content-type", self.media_type),
            (b"content-length", str(len(self.body)).encode()),
            (b"x-request-id", request_id.encode()),
            *self.headers,
            *more,
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def parse_object(body: bytes) -> dict[str, Any]:
    """A JSON object from a body.

    Raises:
        Refusal: If it is not UTF-8, not JSON (NaN and Infinity are not), nested too deep, or no object.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal("not_json", f"the body is not JSON: {_why(body, error)}") from error
    if not isinstance(value, dict):
        message = f"the body is a JSON {type(value).__name__}, but must be an object: see /docs for an example"
        raise Refusal("wrong_type", message)
    return value


def _why(body: bytes, error: orjson.JSONDecodeError) -> str:
    if not body:
        return "it is empty, but must be an object: see /docs for an example"
    if any(error.doc.startswith(word, error.pos) for word in ("NaN", "Infinity", "-Infinity", "nan", "inf")):
        return f"NaN and Infinity are not numbers in JSON: send null for a missing value (char {error.pos})"
    return f"{error}: see /docs for an example"


def json_reply(value: Any, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    """A JSON reply; numpy arrays and numbers are written in their own shortest digits."""
    return Reply(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), status, headers=headers)


def error_reply(error: Refusal, request_id: str) -> Reply:
    """The body every error has."""
    content = {"code": error.code, "field": error.field, "message": str(error), "request_id": request_id}
    return json_reply({"error": content}, error.status, error.headers)
