"""HTTP/1.1 on a connection: what uvicorn's protocol over httptools lacks for callers that mean no good.

The head of a request is bounded in bytes, in fields and in time, its body in time, and so is a client that does not
read its answer. What is no HTTP gets our error body, after the answers that the connection is still owed, and then
time to arrive: a socket that is closed over unread bytes takes its last answer with it.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from deployments.serving.exchange import fresh_id
from deployments.serving.refusal import Refusal
from deployments.serving.reply import error_reply

_LINGER_SECONDS = 2.0
_VERSIONS = frozenset(("1.1", "1.0"))


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a request may take to come, and how large its head may be."""

    header_seconds: float = 10.0
    body_seconds: float = 60.0
    header_bytes: int = 32 * 1024
    """Of the request line and all fields; also of what may stand between two pieces of a chunked body."""
    header_fields: int = 100


def bounded(limits: Limits) -> type[asyncio.Protocol]:
    """The protocol class that keeps to some limits, for `uvicorn.Config(http=...)`."""
    return type("Bounded", (BoundedProtocol,), {"limits": limits})


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol within limits. A request that comes in one piece costs no timer."""

    limits = Limits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reading_body = False
        self._loose_bytes = 0
        """What came since the message began, or since the last piece of its body."""
        self._declined = False
        """Whether the head that is being read asks for another protocol."""
        self._most_bytes = 0
        """No head that ends in this piece can be longer."""
        self._deadline: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._farewell: bytes | None = None
        """The last answer of this connection; empty once it is sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Gives a new connection time to bring its first head."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._expect(self.limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clocks."""
        self._cancel()
        if self._stuck is not None:
            self._stuck.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses what came, and looks at the limits."""
        if self._farewell is not None:
            return
        self._unset_keepalive_if_required()
        self._loose_bytes += len(data)
        self._most_bytes = self._loose_bytes
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            self._refuse(_refusal(error))
        else:
            self._look()

    def on_headers_complete(self) -> None:
        """Counts the head before anybody is asked to answer it."""
        if len(self.headers) > self.limits.header_fields:
            raise self._too_large()
        if self._most_bytes > self.limits.header_bytes:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self.limits.header_bytes:
                raise self._too_large()
        if self.parser.get_http_version() not in _VERSIONS:
            raise Refusal("bad_http", "the request is of another HTTP, but must be of 1.1: send it with an HTTP client")
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise Refusal("bad_http", "the request is for a proxy, but must be for this server: send no CONNECT")
            self._declined = True
            return
        super().on_headers_complete()
        if not self.cycle.keep_alive:
            self.cycle.transport = _Door(self)  # type: ignore[assignment]
        self.headers = []  # where trailers go: nobody may change a head that is being answered
        self._reading_body = True
        self._loose_bytes = 0
        self._cancel()

    def on_body(self, body: bytes) -> None:
        """Passes a piece of the body on."""
        self._loose_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends a request."""
        if self._declined:
            return
        super().on_message_complete()
        self._reading_body = False
        self._loose_bytes = 0
        self._cancel()
        if self.cycle.response_complete:  # refused before its body was read, which is over now
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """Lets the next answer go, or the last one."""
        nothing_owed = not self.pipeline
        super().on_response_complete()
        if self._farewell and nothing_owed:
            self._part()

    def pause_writing(self) -> None:
        """Gives a client that does not read its answer some time, and no more."""
        super().pause_writing()
        self._stuck = self.loop.call_later(self.limits.body_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Goes on writing."""
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _feed(self, data: bytes) -> None:
        """Parses; a request that asks for another protocol is read again as if it had not, for the sake of its body."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            kept = [(name, value) for name, value in self.headers if name != b"upgrade"]
            lines = [b"%s: %s\r\n" % field for field in kept]
            head = b"%s %s HTTP/1.1\r\n%s\r\n" % (self.parser.get_method(), self.url, b"".join(lines))
            self._declined = False
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self._feed(head + data[upgrade.args[0] :])

    def _look(self) -> None:
        if self._reading_body or self._loose_bytes:
            if self._loose_bytes > self.limits.header_bytes or len(self.headers) > self.limits.header_fields:
                self._refuse(self._too_large())
            elif self._deadline is None:
                self._expect(self.limits.body_seconds if self._reading_body else self.limits.header_seconds)

    def _expect(self, seconds: float) -> None:
        self._cancel()
        self._deadline = self.loop.call_later(seconds, self._late)

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self.flow.read_paused:  # it is we who keep it waiting
            self._expect(self.limits.body_seconds)
        elif self._reading_body:
            self._refuse(_too_slow("body", self.limits.body_seconds))
        elif self._loose_bytes:
            self._refuse(_too_slow("head", self.limits.header_seconds))
        else:
            self.transport.close()  # it never asked for anything

    def _refuse(self, refusal: Refusal) -> None:
        """Says no in the name of HTTP, once all that came before is answered."""
        self._cancel()
        self._farewell = _farewell(refusal)
        owed = self.cycle is not None and not self.cycle.response_complete
        if self._reading_body:
            if self.cycle.response_started:
                self.transport.close()
                return
            owed = self._drop(self.cycle)
        if not owed:
            self._part()

    def _drop(self, cycle: RequestResponseCycle) -> bool:
        """Takes back a request whose body went wrong; true if others before it still wait for their answers."""
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
            return True
        cycle.disconnected = True
        cycle.message_event.set()
        return False

    def _part(self) -> None:
        content, self._farewell = self._farewell, b""
        if content is None or self.transport.is_closing():
            return
        self.transport.write(content)
        self._linger()

    def leave(self) -> None:
        """Closes the connection, and hears a body out that was refused before it was whole."""
        if self._reading_body:
            self._cancel()
            self._farewell = b""
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._deadline = self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def _too_large(self) -> Refusal:
        most, fields = self.limits.header_bytes, self.limits.header_fields
        message = f"the head of the request is too large, but must have at most {most} bytes and {fields} fields"
        return Refusal("head_too_large", f"{message}: send fewer cookies", status=431)


class _Door:
    """The transport as an answer sees it that is the last of its connection."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing
        self.close = protocol.leave


def _refusal(error: httptools.HttpParserError) -> Refusal:
    if isinstance(error.__context__, Refusal):
        return error.__context__
    why = " ".join(str(error).split())[:120]
    if isinstance(error, httptools.HttpParserCallbackError):
        why = "its target is no path"
    return Refusal("bad_http", f"the request is no HTTP/1.1 ({why}), but must be: send it with an HTTP client")


def _too_slow(part: str, seconds: float) -> Refusal:
    message = f"the {part} of the request is not whole after {seconds:g} seconds, but must be: send it faster"
    return Refusal("too_slow", message, status=408)


def _farewell(refusal: Refusal) -> bytes:
    request_id = fresh_id()
    body = error_reply(refusal, request_id).body
    head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nx-request-id: {request_id}\r\n"
    return b"".join((STATUS_LINE[refusal.status], head.encode(), b"connection: close\r\n\r\n", body))
