"""The serving process: a socket, a watcher thread, uvicorn, and an end that finishes what was taken."""

import asyncio
import logging
import signal
import socket
import threading
import time
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version

import uvicorn

from deployments.serving.access.guard import guarded
from deployments.serving.access.tls import Tls, read_tls
from deployments.serving.address import listening
from deployments.serving.app import App
from deployments.serving.background import running
from deployments.serving.figures import Figures
from deployments.serving.library import Library
from deployments.serving.protocol import Limits, bounded
from deployments.serving.samples import Samples
from deployments.serving.seen import Seen
from deployments.serving.settings import Settings, model_names, pins
from deployments.serving.watcher import Watcher
from deployments.serving.workers import end_with_parent
from tasks.contracts.errors import UnavailableError
from tasks.stores.s3 import Store
from tasks.stores.signing import Keyring

log = logging.getLogger("ingot.serving")

_DRAIN_SECONDS = 8
_LAST_CALL_SECONDS = 0.4
_FIRST_LOOK_SECONDS = 30
_FLUSH_SECONDS = 5
_LAST_POLL_SECONDS = 2
_TICK_SECONDS = 0.05


def serve(names: Sequence[str], settings: Settings) -> None:
    """Serves champions over HTTP until SIGTERM or SIGINT; requests that were taken are finished.

    It starts without a store that answers, and is ready as soon as one does.

    Args:
        names: `NAME` or `NAME@champion`; none serves every model that the bucket holds a champion of.
        settings: Where to listen, and what is allowed.

    Raises:
        ConfigError: If a name, a setting, a key or the port cannot be used.
        InputError: If nobody's signature is trusted, or if the store refuses our credentials, or there are none.
    """
    models = model_names(names)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    log.setLevel(logging.INFO)
    if settings.slot:
        end_with_parent()
    tls = read_tls(settings.tls_cert, settings.tls_key)
    with listening(settings.host, settings.port) as listener:
        store = Store.from_environment()
        keyring = Keyring.from_environment().verifying()
        _check_access(store)
        figures, library = Figures(), Library(models)
        samples = Samples(store, settings.sample_share, figures)
        with guarded(store, settings, settings.host, keyring) as door:
            app = App(
                library,
                settings.max_body_bytes,
                version("ingot"),
                door,
                figures=figures,
                samples=samples,
                settings=settings,
            )
            what, scheme = ", ".join(models) or "every champion", "https" if tls else "http"
            log.info("serving %s on %s://%s:%d", what, scheme, settings.host, listener.getsockname()[1])
            watcher = Watcher(
                store,
                library,
                models,
                seen=Seen(settings.state),
                keyring=keyring,
                tell=door.tell,
                figures=figures,
                pins=pins(names),
            )
            with (
                running(app.metrics.run, "metrics", _FLUSH_SECONDS),
                running(samples.run, "samples", _FLUSH_SECONDS),
                running(partial(watcher.run, poll_seconds=settings.poll_seconds), "watcher", _LAST_POLL_SECONDS),
            ):
                if settings.slot:  # the others answer meanwhile; one that has loaded nothing yet would refuse
                    watcher.looked.wait(_FIRST_LOOK_SECONDS)
                limits = Limits(settings.header_seconds, settings.body_seconds)
                run(carrier(app, tls, limits), listener, app, has_parent=bool(settings.slot))
                app.close()


def carrier(app: App, tls: Tls | None = None, limits: Limits | None = None) -> uvicorn.Server:
    """The uvicorn that carries an app, without what it would add: logs of its own, a `Server` header, websockets."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=bounded(limits or Limits()),
        interface="asgi3",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=str(tls.key) if tls else None,
    )
    server = uvicorn.Server(config)
    app.under_way = server.server_state.tasks.__len__
    return server


def run(server: uvicorn.Server, listener: socket.socket, app: App, *, has_parent: bool = False) -> None:
    """Serves until a signal comes, then finishes what was taken; a second signal hastens.

    Args:
        server: Carries the app.
        listener: Where it listens.
        app: What is served.
        has_parent: Whether a parent passes signals on: the same one then comes twice, from it and from the terminal,
            and hastens nothing; the parent sees to it that the end comes.
    """
    told = threading.Event()

    def hear(*_: object) -> None:
        server.should_exit = server.force_exit = told.is_set() and not has_parent
        told.set()

    server.handle_exit = hear  # type: ignore[method-assign, assignment]
    before = {number: signal.signal(number, hear) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(_carry(server, listener, app, told))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _carry(server: uvicorn.Server, listener: socket.socket, app: App, told: threading.Event) -> None:
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    while not ((told.is_set() and server.started) or serving.done()):  # it may be told before it has begun
        await asyncio.sleep(_TICK_SECONDS)
    # uvicorn closes idle connections at once, and with them what is already on its way over them. So for a moment
    # nobody new is let in, and every answer says that it is the last on its connection.
    app.ending = True
    for each in server.servers if server.started else ():
        each.close()
    end = time.monotonic() + _LAST_CALL_SECONDS
    while server.server_state.connections and time.monotonic() < end and not server.should_exit:
        await asyncio.sleep(_TICK_SECONDS)
    server.should_exit = True
    await serving


def _check_access(store: Store) -> None:
    try:
        next(store.keys("models/"), None)
    except UnavailableError as error:
        log.error("the store does not answer yet, it is asked again: %s", error)
