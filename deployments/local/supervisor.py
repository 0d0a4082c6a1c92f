"""The one process that holds the stack: `python -m deployments.local.supervisor ROOT`, detached by `ingot up`.

It starts each part under a leash, writes down how it fares, starts it again when it dies, and ends all in order on
SIGTERM. It knows only whether processes live; whether they are healthy is asked by those who want to know.
"""

import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

import psutil

from deployments.local.environment import addresses_of
from deployments.local.home import Home, open_log
from deployments.local.leash import adopt_orphans, reap, wake_on_signals
from deployments.local.parts import STOP_ORDER, Part, embedded_parts, external_parts
from deployments.local.processes import descendants, end
from deployments.local.settings import read_settings
from deployments.local.state import Addresses, PartName, PartState, ProcessId, StackState, write_state

LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A part that ran so long is no longer held to be failing at start."""
TICK_SECONDS = 0.2


@dataclass
class Held:
    """One part and its leash."""

    part: Part
    leash: "subprocess.Popen[bytes] | None" = None
    since: float = 0.0
    restarts: int = 0
    failures: int = 0
    """Deaths in a row, each soon after a start."""
    due: float = 0.0
    """When it may be started, on the monotonic clock."""
    last_exit: str = ""
    process: ProcessId | None = None

    def start(self, home: Home) -> None:
        """Start it under a new leash."""
        self.leash = start(self.part, home)
        self.process = ProcessId.of(self.leash.pid)
        self.since = time.time()

    def note_death(self, code: int) -> None:
        """Put down how it ended, and when it may start again: a pause that doubles while it keeps dying."""
        lived = time.time() - self.since
        self.leash, self.process = None, None
        self.last_exit = _in_words(code, lived)
        self.restarts += 1
        self.failures = 1 if lived > STEADY_SECONDS else self.failures + 1
        self.due = time.monotonic() + min(2.0 ** (self.failures - 1), LONGEST_PAUSE_SECONDS)

    def written(self) -> PartState:
        """How it fares, for others to read."""
        return PartState(
            state="running" if self.leash else "restarting" if self.last_exit else "waiting",
            address=self.part.address,
            process=self.process,
            since=self.since,
            restarts=self.restarts,
            last_exit=self.last_exit,
        )


@dataclass
class Supervisor:
    """Holds parts until it is told to end."""

    home: Home
    root: Path
    addresses: Addresses
    parts: Sequence[Part]
    external: dict[PartName, str] = field(default_factory=dict)
    """Addresses of the parts that the user runs himself."""
    held: dict[PartName, Held] = field(default_factory=dict)
    written: StackState | None = None

    def run(self) -> None:
        """Hold the parts; returns when all are ended."""
        adopt_orphans()
        wakeup = wake_on_signals()
        self.held = {part.name: Held(part) for part in self.parts}
        ending = False
        while not ending:
            self.start_those_due()
            self.write()
            busy = any(held.leash is None for held in self.held.values())
            ending = _told_to_end(wakeup, TICK_SECONDS if busy else None)
            self.note_deaths(reap())
        self.end_in_order()

    def start_those_due(self) -> None:
        """Start every part that does not run, may run, and finds what it needs."""
        for held in self.held.values():
            if held.leash is None and time.monotonic() >= held.due and answers(held.part.needs):
                held.start(self.home)

    def note_deaths(self, codes: dict[int, int]) -> None:
        """Put down who died, and end what a killed leash left behind."""
        dead = [held for held in self.held.values() if held.leash and held.leash.pid in codes]
        for held in dead:
            held.note_death(codes[held.leash.pid] if held.leash else 0)
        if dead:
            end(self.strays(), grace_seconds=5)

    def strays(self) -> list[psutil.Process]:
        """What was handed to us because its leash was killed, with all below it."""
        leashes = {held.leash.pid for held in self.held.values() if held.leash}
        orphans = [child for child in psutil.Process().children() if child.pid not in leashes]
        return orphans + [below for orphan in orphans for below in descendants(orphan.pid)]

    def end_in_order(self) -> None:
        """End those who need others before those who are needed, and forget the state."""
        for names in STOP_ORDER:
            ending = [held for name in names if (held := self.held.get(name)) and held.leash]
            for held in ending:
                _let_go(held)
            for held in ending:
                _wait(held)
        end(self.strays(), grace_seconds=1)
        self.home.state.unlink(missing_ok=True)

    def write(self) -> None:
        """Put the state down for others, if it is another than before."""
        parts = {name: held.written() for name, held in self.held.items()}
        external = {name: PartState(state="external", address=address) for name, address in self.external.items()}
        me = ProcessId.of(os.getpid())
        state = StackState(supervisor=me, root=str(self.root), addresses=self.addresses, parts=external | parts)
        if state != self.written:
            write_state(self.home, state)
            self.written = state


def start(part: Part, home: Home) -> "subprocess.Popen[bytes]":
    """Start a part under a leash of its own session, which ends it when our end of its standard input closes."""
    log = open_log(home.log(part.name))
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "deployments.local.leash", str(part.grace_seconds), *part.command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=part.environment,
            start_new_session=True,
        )
    finally:
        os.close(log)


def answers(address: str) -> bool:
    """Whether somebody answers an HTTP request there without a fault of his own; an empty address always does."""
    if not address:
        return True
    try:
        with build_opener(ProxyHandler({})).open(address, timeout=1):
            return True
    except HTTPError as error:
        return error.code < 500
    except (URLError, OSError, ValueError):
        return False


def _let_go(held: Held) -> None:
    if held.leash and held.leash.stdin:
        held.leash.stdin.close()


def _wait(held: Held) -> None:
    if held.leash is None:
        return
    try:
        held.leash.wait(timeout=held.part.grace_seconds + 5)
    except subprocess.TimeoutExpired:
        held.leash.kill()
        held.leash.wait()


def _told_to_end(wakeup: int, timeout_seconds: float | None) -> bool:
    """Sleep until a signal comes. The dead are counted after this read, so that no death falls between the two."""
    ready, _, _ = select.select([wakeup], [], [], timeout_seconds)
    received = os.read(wakeup, 256) if ready else b""
    return any(number in (signal.SIGTERM, signal.SIGINT) for number in received)


def _in_words(code: int, lived_seconds: float) -> str:
    number = -code if code < 0 else code - 128
    how = f"was killed by {signal.strsignal(number) or number}" if number > 0 else f"ended with code {code}"
    return f"{how} after {lived_seconds:.0f} s"


def main() -> None:
    """Hold the stack that the environment describes, until SIGTERM."""
    os.umask(0o077)
    # A core holds whatever a process held, keys included.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    settings, root = read_settings(), Path(sys.argv[1])
    home = settings.place
    with home.locked("supervisor", wait=False):
        parts = embedded_parts(settings, root)
        Supervisor(home, root, addresses_of(settings), parts, external_parts(settings)).run()


if __name__ == "__main__":
    main()
