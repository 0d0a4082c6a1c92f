"""What goes out: a reply in one piece, and the one form that every error has."""

from dataclasses import dataclass, replace
from typing import Any

import orjson
from starlette.types import Send

from deployments.serving.encodings import accepted, deflated
from deployments.serving.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes out."""

    body: bytes
    status: int = 200
    media_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def packed_for(self, accepts: bytes) -> "Reply":
        """The reply as a client takes it who says this in `Accept-Encoding`: compressed if it accepts that."""
        encoding = accepted(accepts)
        headers = (*self.headers, (b"vary", b"accept-encoding"))
        if not encoding:
            return replace(self, headers=headers)
        return replace(self, body=deflated(self.body, encoding), headers=(*headers, (b"content-encoding", encoding)))

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


def json_reply(value: Any, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    """A JSON reply; numpy arrays and numbers are written in their own shortest digits."""
    return Reply(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), status, headers=headers)


def error_reply(error: Refusal, request_id: str) -> Reply:
    """The body every error has."""
    content = {"code": error.code, "field": error.field, "message": str(error), "request_id": request_id}
    return json_reply({"error": content}, error.status, error.headers)
