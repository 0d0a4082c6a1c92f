"""Several workers on one port: a small parent that listens once, and children that take turns to accept.

All share one socket: with a socket for each (SO_REUSEPORT), what waits at a worker's own is lost when it dies. A
worker that dies is replaced; a signal to end is passed on, and the parent ends when the last worker has finished what
it took. Workers end when their parent does, however it ended: each holds the other side of a pipe.
"""

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployments.serving.address import INHERITED, listening
from tasks.contracts.errors import ConfigError

log = logging.getLogger("ingot.serving")

SLOT = "INGOT_SERVING_SLOT"
_WRONG_INPUT = 2
_SHORT_LIFE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 10.0
_LONGEST_END_SECONDS = 20.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass
class _Worker:
    slot: int
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    early_deaths: int = 0
    due: float = 0.0
    """When it may be started again."""


class _Parent:
    """Keeps its workers alive until it is told to end."""

    def __init__(self, count: int, command: Sequence[str], listener: socket.socket, lifeline: int) -> None:
        self._workers = [_Worker(slot) for slot in range(count)]
        self._command = command
        self._listener = listener
        self._lifeline = lifeline
        self._ending = 0.0
        self._code = 0

    def run(self, wakeup: int) -> int:
        """Until the last worker has ended."""
        while not self._ending or any(worker.process for worker in self._workers):
            if not self._ending:
                self._start_due()
            select.select([wakeup], [], [], self._patience())
            with contextlib.suppress(BlockingIOError):
                for number in os.read(wakeup, 64):
                    if number in _SIGNALS:
                        self._end(number)
            self._collect()
            if self._ending and time.monotonic() > self._ending + _LONGEST_END_SECONDS:
                self._pass_on(signal.SIGKILL)
        return self._code

    def _patience(self) -> float | None:
        if self._ending:
            return 1.0
        waits = [worker.due - time.monotonic() for worker in self._workers if worker.process is None]
        return max(0.0, min(waits)) if waits else None

    def _start_due(self) -> None:
        for worker in self._workers:
            if worker.process is None and time.monotonic() >= worker.due:
                descriptor = self._listener.fileno()
                worker.started = time.monotonic()
                worker.process = subprocess.Popen(
                    self._command,
                    stdin=self._lifeline,
                    pass_fds=(descriptor,),
                    env=os.environ | {SLOT: str(worker.slot), INHERITED: str(descriptor)},
                )

    def _collect(self) -> None:
        for worker in self._workers:
            code = worker.process.poll() if worker.process is not None else None
            if code is None:
                continue
            worker.process = None
            if self._ending:
                well = -code in _SIGNALS  # it was told to end before it could listen to that
                self._code = self._code or (0 if well else max(code, int(code < 0)))
            elif code == _WRONG_INPUT and not self._served:  # it said why, and would say so again
                self._code = code
                self._end(signal.SIGTERM)
            else:
                self._died(worker, code)

    def _died(self, worker: _Worker, code: int) -> None:
        lived = time.monotonic() - worker.started
        worker.early_deaths = worker.early_deaths + 1 if lived < _SHORT_LIFE_SECONDS else 0
        pause = min(0.1 * 2.0**worker.early_deaths, _LONGEST_PAUSE_SECONDS) if worker.early_deaths else 0.0
        worker.due = time.monotonic() + pause
        log.error("worker %d ended with %d and is replaced in %.1f s", worker.slot, code, pause)

    @property
    def _served(self) -> bool:
        """Whether a worker lives that has long been well: it goes on, whatever its replacements are told."""
        now = time.monotonic()
        return any(each.process is not None and now - each.started > _SHORT_LIFE_SECONDS for each in self._workers)

    def _end(self, number: int) -> None:
        self._ending = self._ending or time.monotonic()
        self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        for worker in self._workers:
            if worker.process is not None:
                worker.process.send_signal(number)


def supervise(names: Sequence[str], host: str, port: int, count: int, state: Path) -> int:
    """Runs so many workers until SIGTERM or SIGINT.

    Args:
        names: What they serve.
        host: Where to listen.
        port: Where to listen.
        count: How many.
        state: The folder in which they leave their figures for one another.

    Returns:
        0 if all ended well, else a worker's exit code.

    Raises:
        ConfigError: If the address or the state folder cannot be had.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    log.setLevel(logging.INFO)
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in state.glob("metrics-*.json*"):  # of an earlier time
            left.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"INGOT_SERVING_STATE is {state}, but must be a folder of yours: {error.strerror or error}"
        ) from error
    with listening(host, port) as listener, _pipe() as lifeline, _wakeups() as wakeup:
        log.info("%d workers listen on %s:%d", count, host, listener.getsockname()[1])
        command = (sys.executable, "-m", "deployments.serving", *names)
        # They judge by it whether strangers can reach them.
        os.environ |= {"INGOT_SERVING_HOST": host, "INGOT_SERVING_PORT": str(port)}
        return _Parent(count, command, listener, lifeline).run(wakeup)


@contextlib.contextmanager
def _pipe() -> Iterator[int]:
    reader, writer = os.pipe()
    try:
        yield reader
    finally:
        os.close(writer)
        os.close(reader)


@contextlib.contextmanager
def _wakeups() -> Iterator[int]:
    """A descriptor that receives the number of every signal that says something."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.set_blocking(reader, False)
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGCHLD, *_SIGNALS)}
    old = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(old)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)
        os.close(reader)


def end_with_parent() -> None:
    """Sends this worker SIGTERM when its parent ends: standard input, a pipe, closes then."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(sys.stdin.fileno(), 1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="ingot-lifeline", daemon=True).start()
