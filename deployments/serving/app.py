"""The ASGI application: routes, and one edge where every error becomes a sentence with a status.

The hot path is plain ASGI. Small work stays on the event loop, where it is cheapest; a long body or a long run goes to
a few threads (ONNX Runtime releases the GIL), so that a slow request never holds up a quick one.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from starlette.types import Receive, Scope, Send

from deployments.serving import docs, landing, openapi
from deployments.serving.binary_tensors import HEADER
from deployments.serving.encodings import SMALLEST_BYTES
from deployments.serving.exchange import Gone, Reply, Request, error_reply, json_reply
from deployments.serving.invocations import CSV, read_csv, read_invocation
from deployments.serving.library import Library, Served
from deployments.serving.named_features import read_rows
from deployments.serving.open_inference import listing, metadata, read_tensors
from deployments.serving.question import Dialect
from deployments.serving.refusal import Refusal
from deployments.serving.router import Router
from deployments.serving.schemas import Json
from tasks.runtime.slices import run_in_slices

log = logging.getLogger("ingot.serving")

_LIGHT_BODY_BYTES = 16 * 1024
_LIGHT_REPLY_BYTES = 128 * 1024
_LIGHT_RUN_SECONDS = 0.001
"""A hop to a thread and back costs about 0.1 ms: below ten times that, it is not worth it."""

Handler = Callable[..., Awaitable[Reply]]
P = ParamSpec("P")
T = TypeVar("T")


class App:
    """Answers requests from a library.

    Args:
        library: The versions that may answer.
        max_body_bytes: Longest request body.
        version: Of this software, as `/v2` shows it.
    """

    def __init__(self, library: Library, max_body_bytes: int = 16 * 2**20, version: str = "0") -> None:
        self._library = library
        self._max_body_bytes = max_body_bytes
        self._version = version
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="ingot-run")
        self._router = Router[Handler]()
        for method, pattern, handler in self._routes():
            self._router.add(method, pattern, handler)

    def _routes(self) -> list[tuple[str, str, Handler]]:
        model, version = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
        return [
            ("GET", "/", self._landing),
            ("GET", "/docs", self._docs),
            ("GET", "/openapi.json", self._openapi),
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
        request = Request.of(scope, receive)
        try:
            reply = await self._reply(request)
        except Gone:
            return
        if len(reply.body) >= SMALLEST_BYTES:
            reply = await self._packed(reply, request)
        await reply.send(send, request.id)

    def close(self) -> None:
        """Waits for what still runs, and lets the threads go."""
        self._threads.shutdown()

    async def _reply(self, request: Request) -> Reply:
        try:
            handler, arguments = self._router.find(request.method, request.path)
            return await handler(request, *arguments)
        except Refusal as error:
            return error_reply(error, request.id)
        except Gone:
            raise
        except Exception:  # the edge: our fault is logged whole, and told in one sentence
            log.exception("request %s: %s %.200r failed", request.id, request.method, request.path)
            message = f"the server failed: its log tells more under request {request.id}"
            return error_reply(Refusal("internal", message, status=500), request.id)

    async def _packed(self, reply: Reply, request: Request) -> Reply:
        if len(reply.body) > _LIGHT_REPLY_BYTES:
            return await self._aside(reply.packed_for, request)
        return reply.packed_for(request)

    async def _landing(self, request: Request) -> Reply:
        return landing.page(self._library.shelves(), self._library.waits_for())

    async def _docs(self, request: Request) -> Reply:
        return docs.page(await self._document())

    async def _openapi(self, request: Request) -> Reply:
        return json_reply(await self._document())

    async def _document(self) -> Json:
        return await self._aside(openapi.document, self._library.champions(), self._version)

    async def _server(self, request: Request) -> Reply:
        return json_reply({"name": "ingot", "version": self._version, "extensions": ["binary_tensor_data"]})

    async def _version_text(self, request: Request) -> Reply:
        return Reply(self._version.encode(), media_type=b"text/plain; charset=utf-8")

    async def _index(self, request: Request) -> Reply:
        return json_reply(listing(self._library.shelves()))

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
        served = self._library.find(name, version)
        header_length = request.headers.get(HEADER)
        if header_length is None:
            request.check_json()
            return await self._answer(read_tensors, served, request)
        return await self._answer(partial(read_tensors, header_length=header_length), served, request)

    async def _predict(self, request: Request, name: str) -> Reply:
        request.check_json()
        return await self._answer(read_rows, self._library.find(name), request)

    async def _invoke(self, request: Request, name: str = "") -> Reply:
        served = self._library.find(name or self._library.only())
        if request.media_type() == CSV:
            return await self._answer(read_csv, served, request)
        request.check_json()
        return await self._answer(read_invocation, served, request)

    async def _answer(self, dialect: Dialect, served: Served, request: Request) -> Reply:
        body = await request.body(self._max_body_bytes)
        if len(body) > _LIGHT_BODY_BYTES:
            return await self._aside(_whole, dialect, served, body)
        question = dialect(served, body)
        if question.rows * served.row_seconds > _LIGHT_RUN_SECONDS:
            outputs = await self._aside(run_in_slices, served.session, question.inputs)
        else:
            outputs = run_in_slices(served.session, question.inputs)
        return question.word(outputs)

    async def _aside(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))


def _whole(dialect: Dialect, served: Served, body: bytes) -> Reply:
    question = dialect(served, body)
    return question.word(run_in_slices(served.session, question.inputs))
