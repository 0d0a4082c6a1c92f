"""The serving process: a socket, a watcher thread, uvicorn, and an end that finishes what was taken."""

import logging
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

import uvicorn

from deployments.serving.app import App
from deployments.serving.library import Library
from deployments.serving.protocol import Limits, bounded
from deployments.serving.settings import Settings, model_names
from deployments.serving.watcher import Watcher
from tasks.contracts.errors import ConfigError, UnavailableError
from tasks.stores.s3 import Store

log = logging.getLogger("ingot.serving")

_DRAIN_SECONDS = 8
_BACKLOG = 2048


def serve(names: Sequence[str], host: str = "127.0.0.1", port: int = 8080) -> None:
    """Serves champions over HTTP until SIGTERM or SIGINT; requests that were taken are finished.

    It starts without a store that answers, and is ready as soon as one does.

    Args:
        names: `NAME` or `NAME@champion`; none serves every model that the bucket holds a champion of.
        host: Where to listen.
        port: Where to listen; 0 takes a free one, which the log names.

    Raises:
        ConfigError: If a name, a setting or the port cannot be used.
        InputError: If the store refuses our credentials, or there are none.
    """
    models = model_names(names)
    settings = Settings.from_environment()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    log.setLevel(logging.INFO)
    with listening(host, port) as listener:
        store = Store.from_environment()
        _check_access(store)
        library = Library(models)
        app = App(library, settings.max_body_bytes, version("ingot"))
        log.info("serving %s on http://%s:%d", ", ".join(models) or "every champion", host, listener.getsockname()[1])
        with watched(Watcher(store, library, models), settings.poll_seconds):
            run(carrier(app, Limits(settings.header_seconds, settings.body_seconds)), listener)
        app.close()


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A bound socket, so that a taken port is known before anything is started.

    Raises:
        ConfigError: If the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                f"address is {host}:{port}, but must be free and this machine's ({reason}): "
                "choose another with INGOT_SERVING_PORT"
            ) from error
        listener.listen(_BACKLOG)
        yield listener


@contextmanager
def watched(watcher: Watcher, poll_seconds: float) -> Iterator[None]:
    """Runs a watcher in a thread of its own."""
    stop = threading.Event()
    # A daemon: a store that hangs must not hold up the end of the process.
    thread = threading.Thread(target=watcher.run, args=(stop, poll_seconds), name="ingot-watcher", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=2)


def carrier(app: App, limits: Limits | None = None) -> uvicorn.Server:
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
    )
    return uvicorn.Server(config)


def run(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serves until a signal comes."""
    # uvicorn raises the signal again once it is done, for the handler that stood before: this one makes it harmless.
    before = {number: signal.signal(number, server.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check_access(store: Store) -> None:
    try:
        next(store.keys("models/"), None)
    except UnavailableError as error:
        log.error("the store does not answer yet, it is asked again: %s", error)
