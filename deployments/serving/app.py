"""The ASGI application: routes, and one edge where every error becomes a sentence with a status.

The hot path is plain ASGI. Small work stays on the event loop, where it is cheapest; a long body goes to a few
threads, as a long run does, so that a slow request never holds up a quick one.
"""

import logging
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial

from starlette.types import Receive, Scope, Send

from deployments.serving import docs, landing, openapi
from deployments.serving.access.contract import Access, OpenAccess
from deployments.serving.binary_tensors import HEADER
from deployments.serving.encodings import SMALLEST_BYTES
from deployments.serving.engine import Engine
from deployments.serving.exchange import Gone, Request
from deployments.serving.figures import IN_FLIGHT, QUEUED, Figures
from deployments.serving.invocations import CSV, read_csv, read_invocation
from deployments.serving.library import Library, Served, Shelf, only
from deployments.serving.live import Live
from deployments.serving.metrics import Metrics, measure_models
from deployments.serving.named_features import read_rows
from deployments.serving.open_inference import listing, metadata, read_tensors
from deployments.serving.question import Arrays, Dialect, Question
from deployments.serving.refusal import Refusal
from deployments.serving.reply import Reply, error_reply, json_reply
from deployments.serving.router import Router
from deployments.serving.samples import Samples
from deployments.serving.schemas import Json
from deployments.serving.settings import DEFAULTS, Settings
from deployments.serving.shadow import Shadow
from deployments.serving.status import status

log = logging.getLogger("ingot.serving")

_GONE = 499
"""As nginx counts those who left before their answer."""
_LAST = ((b"connection", b"close"),)
_LIGHT_BODY_BYTES = 16 * 1024
_LIGHT_ROWS = 64
_LIGHT_REPLY_BYTES = 128 * 1024
"""Parsing more than the first, wording more than the second, or packing more than the third, is left to a thread."""

Handler = Callable[..., Awaitable[Reply]]


class App:
    """Answers requests from a library.

    Args:
        library: The versions that may answer.
        max_body_bytes: Longest request body.
        version: Of this software, as `/v2` shows it.
        access: Who may ask, and where it is written down; by default everybody, and nowhere.
        figures: Where requests are counted; empty ones of its own if not given.
        samples: Where a share of what is asked is kept.
        settings: What else may be set.
    """

    def __init__(
        self,
        library: Library,
        max_body_bytes: int = 16 * 2**20,
        version: str = "0",
        access: Access | None = None,
        *,
        figures: Figures | None = None,
        samples: Samples | None = None,
        settings: Settings = DEFAULTS,
    ) -> None:
        self._library = library
        self._max_body_bytes = max_body_bytes
        self._version = version
        self._access = access or OpenAccess()
        self._last_minute = Live()
        self._figures = figures or Figures()
        self._engine = Engine(self._figures, settings.queue_rows)
        self._shadow = Shadow(self._figures)
        self._samples = samples
        self._in_flight = 0
        self.under_way: Callable[[], int] = lambda: self._in_flight
        """How many requests have come and are not answered; a carrier also knows those whose turn has not come."""
        self.metrics = Metrics(self._figures, self._measure, settings.shared_state, settings.slot)
        """What `/metrics` shows; several workers need it to be run in a thread."""
        self.ending = False
        """Whether this process ends: every reply then closes its connection."""
        self._router = Router[Handler]()
        for method, pattern, handler in self._routes():
            self._router.add(method, pattern, handler)

    def _routes(self) -> list[tuple[str, str, Handler]]:
        model, version = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
        return [
            ("GET", "/", self._landing),
            ("GET", "/status.json", self._status),
            ("GET", "/docs", self._docs),
            ("GET", "/openapi.json", self._openapi),
            ("GET", "/metrics", self._metrics),
            ("GET", "/v2", self._server),
            ("GET", "/v2/health/live", self._live),
            ("GET", "/v2/health/ready", self._ready),
            *(("GET", base, self._metadata) for base in (model, version)),
            *(("GET", f"{base}/ready", self._model_ready) for base in (model, version)),
            *(("POST", f"{base}/infer", self._infer) for base in (model, version)),
            ("GET", "/v2/models", self._index),
            ("POST", "/v2/repository/index", self._index),
            ("POST", "/predict/{name}", self._predict),
            *(("POST", path, self._invoke) for path in ("/invocations", "/invocations/{name}")),
            *(("GET", path, self._ready) for path in ("/ping", "/health")),
            ("GET", "/version", self._version_text),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; this is the process's edge."""
        if scope["type"] != "http":
            return
        start = time.perf_counter()
        request = Request.of(scope, receive)
        self._in_flight += 1
        try:
            reply = await self._packed(await self._reply(request), request)
            await reply.send(send, request.id, (*request.note.headers(), *(_LAST if self.ending else ())))
        except Gone:
            request.note.asked = None
            self._settle(request, None, start)
            return
        finally:
            self._in_flight -= 1
        asked, request.note.asked = request.note.asked, None  # the books keep the note, but not what was asked
        self._settle(request, reply, start)
        if asked is not None:
            self._afterwards(*asked)

    def _settle(self, request: Request, reply: Reply | None, start: float) -> None:
        seconds = time.perf_counter() - start
        status = reply.status if reply else _GONE
        self._access.settle(request, reply, seconds)
        self._figures.answered(request.note, status, seconds)
        if request.note.version:
            self._last_minute.record(request.note.model, seconds, status)

    def close(self) -> None:
        """Waits for what still runs, and lets the threads go."""
        self._engine.close()
        self._shadow.close()

    async def _reply(self, request: Request) -> Reply:
        try:
            handler, arguments = self._admitted(request)
            return await handler(request, *arguments)
        except Refusal as error:
            return error_reply(error, request.id)
        except Gone:
            raise
        except Exception:  # the edge: our fault is logged whole, and told in one sentence
            log.exception("request %s: %s %.200r failed", request.id, request.method, request.path)
            message = f"the server failed: its log tells more under request {request.id}"
            return error_reply(Refusal("internal", message, status=500), request.id)

    def _admitted(self, request: Request) -> tuple[Handler, list[str]]:
        """The handler, for a caller who may use it; whoever has no key does not learn which paths there are."""
        try:
            handler, arguments = self._router.find(request.method, request.path)
        except Refusal:
            self._access.admit(request, "")
            raise
        request.note.endpoint = handler.__name__[1:]
        request.note.model = arguments[0] if arguments else ""
        self._access.admit(request, request.note.model)
        return handler, arguments

    async def _packed(self, reply: Reply, request: Request) -> Reply:
        if len(reply.body) < SMALLEST_BYTES:
            return reply
        accepts = request.headers.get(b"accept-encoding", b"")
        if len(reply.body) > _LIGHT_REPLY_BYTES:
            return await self._engine.aside(reply.packed_for, accepts)
        return reply.packed_for(accepts)

    def _shelves(self, request: Request) -> list[tuple[str, Shelf]]:
        """What the caller may see."""
        return [(name, shelf) for name, shelf in self._library.shelves() if request.note.caller.may_ask(name)]

    def _waits_for(self, request: Request) -> list[str]:
        return [name for name in self._library.waits_for() if request.note.caller.may_ask(name)]

    async def _landing(self, request: Request) -> Reply:
        shelves, waits_for = self._shelves(request), self._waits_for(request)
        return await self._engine.aside(landing.page, shelves, waits_for, self._last_minute)

    async def _status(self, request: Request) -> Reply:
        return json_reply(status(self._shelves(request), self._waits_for(request), self._last_minute))

    async def _docs(self, request: Request) -> Reply:
        return docs.page(await self._document(request))

    async def _openapi(self, request: Request) -> Reply:
        return json_reply(await self._document(request))

    async def _document(self, request: Request) -> Json:
        champions = [shelf.served[0] for _, shelf in self._shelves(request) if shelf.served]
        return await self._engine.aside(openapi.document, champions, self._version)

    async def _metrics(self, request: Request) -> Reply:
        if request.note.caller.models:
            message = (
                "metrics tell of all models, but this API key is for some: use one that `ingot keys add` made for all"
            )
            raise Refusal("forbidden", message, status=403)
        return self.metrics.reply()

    def _measure(self) -> None:
        self._figures.set(IN_FLIGHT, (), self.under_way())
        self._figures.set(QUEUED, (), self._engine.rows)
        measure_models(self._figures, self._library)

    async def _server(self, request: Request) -> Reply:
        return json_reply({"name": "ingot", "version": self._version, "extensions": ["binary_tensor_data"]})

    async def _version_text(self, request: Request) -> Reply:
        return Reply(self._version.encode(), media_type=b"text/plain; charset=utf-8")

    async def _index(self, request: Request) -> Reply:
        return json_reply(listing(self._shelves(request)))

    async def _live(self, request: Request) -> Reply:
        return json_reply({"live": True})

    async def _ready(self, request: Request) -> Reply:
        waits_for = self._library.waits_for()
        if waits_for:
            message = f"the server is not ready, but will be: it waits for {', '.join(waits_for)}"
            raise Refusal("not_ready", message, status=503)
        return json_reply({"ready": True, "models": [served.model for served in self._library.champions()]})

    async def _metadata(self, request: Request, name: str, version: str = "") -> Reply:
        return json_reply(metadata(self._library.shelf(name), self._library.find(name, version)))

    async def _model_ready(self, request: Request, name: str, version: str = "") -> Reply:
        served = self._library.find(name, version)
        return json_reply({"name": name, "version": served.version, "ready": True})

    async def _infer(self, request: Request, name: str, version: str = "") -> Reply:
        served = self._served(request, name, version)
        header_length = request.headers.get(HEADER)
        if header_length is None:
            request.check_json()
            return await self._answer(read_tensors, served, request)
        return await self._answer(partial(read_tensors, header_length=header_length), served, request)

    async def _predict(self, request: Request, name: str) -> Reply:
        request.check_json()
        return await self._answer(read_rows, self._served(request, name), request)

    def _served(self, request: Request, name: str, version: str = "") -> Served:
        return self._library.find(name, version) if version else self._library.choose(name, request.sticky_key)

    async def _invoke(self, request: Request, name: str = "") -> Reply:
        name = request.note.model = name or only(self._shelves(request))
        request.note.caller.check(name)
        served = self._served(request, name)
        if request.media_type() == CSV:
            return await self._answer(read_csv, served, request)
        request.check_json()
        return await self._answer(read_invocation, served, request)

    async def _answer(self, dialect: Dialect, served: Served, request: Request) -> Reply:
        note = request.note
        note.version = served.version
        question = await self._question(dialect, served, request)
        outputs = await self._engine.answer(served, question, request, alone=self.under_way() <= 1)
        start = time.perf_counter()
        if question.rows > _LIGHT_ROWS:
            reply = await self._engine.aside(question.word, outputs)
        else:
            reply = question.word(outputs)
        note.write = time.perf_counter() - start
        note.asked = served, question, outputs
        return reply

    def _afterwards(self, served: Served, question: Question, outputs: Arrays) -> None:
        """What is done with an answer once it is sent."""
        if self._samples is not None:
            self._samples.offer(served, question, outputs)
        shelf = self._library.shelf(served.model)
        shadow = shelf.shadow
        if shadow is not None and served is shelf.served[0] and random.random() < shadow.weight:  # noqa: S311
            self._shadow.compare(shadow.served, question, outputs)

    async def _question(self, dialect: Dialect, served: Served, request: Request) -> Question:
        body = await request.body(self._max_body_bytes)
        start = time.perf_counter()
        if len(body) > _LIGHT_BODY_BYTES:
            question = await self._engine.aside(dialect, served, body)
        else:
            question = dialect(served, body)
        request.note.rows, request.note.parse = question.rows, time.perf_counter() - start
        return question
