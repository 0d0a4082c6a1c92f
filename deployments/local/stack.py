"""Starting, stopping and looking at the embedded stack."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from deployments.local import leash
from deployments.local.environment import addresses_of, apply
from deployments.local.health import problem_of
from deployments.local.home import Home, last_lines, open_log
from deployments.local.parts import HELD_BY, START_ORDER
from deployments.local.ports import refuse_taken
from deployments.local.processes import descendants, end, runs
from deployments.local.settings import Settings
from deployments.local.state import Addresses, PartName, PartState, StackState, read_state
from tasks.contracts.errors import ConfigError, UnavailableError
from tasks.contracts.record import Record

STOP_SECONDS = 60.0
BURY_SECONDS = 20.0
POLL_SECONDS = 0.2
Say = Callable[[str], None]


class PartReport(Record):
    """One part, for a reader."""

    name: PartName
    healthy: bool
    state: str
    address: str
    problem: str = ""
    pid: int | None = None
    uptime_seconds: float = 0.0
    memory_bytes: int = 0
    """Of the part, its leash and all below it."""
    restarts: int = 0
    last_exit: str = ""
    log: tuple[str, ...] = ()
    """The end of its log, when it is not healthy or has died before."""


class StackReport(Record):
    """The stack, for a reader."""

    running: bool
    healthy: bool
    home: str
    parts: tuple[PartReport, ...] = ()


def up(settings: Settings, say: Say = lambda line: None) -> Addresses:
    """Start what does not run yet, and wait until all of it is healthy.

    Args:
        settings: Where things are.
        say: Is told what is waited for.

    Raises:
        ConfigError: A port is taken, or the stack already runs under other settings.
        UnavailableError: A part died, or was not healthy in time; what this call started is stopped again.
    """
    home = settings.place
    home.prepare()
    with home.locked("up"):
        state = read_state(home)
        if state and state.alive:
            _refuse_another(state, addresses_of(settings))
            wait_until_healthy(settings, say)
        else:
            bury(home)
            refuse_taken(settings.ports)
            _spawn_supervisor(settings)
            _or_stop_again(settings, say)
    return addresses_of(settings)


def down(settings: Settings) -> bool:
    """Stop the stack in order, and wait until no process of it is left; false when none ran."""
    home = settings.place
    if not home.root.exists():
        return False
    with home.locked("up"):
        return _stop(home)


def running(settings: Settings) -> StackState | None:
    """The state of the stack, if it runs."""
    state = read_state(settings.place)
    return state if state and state.alive else None


def look(settings: Settings) -> StackReport:
    """Ask every part how it fares."""
    state = running(settings)
    home = settings.place
    if state is None:
        return StackReport(running=False, healthy=False, home=str(home.root))
    apply(settings, state.addresses, os.environ)
    with ThreadPoolExecutor() as pool:
        named = sorted(state.parts.items(), key=lambda item: START_ORDER.index(item[0]))
        parts = tuple(pool.map(lambda item: _report(item[0], item[1], state, home), named))
    return StackReport(running=True, healthy=all(p.healthy for p in parts), home=str(home.root), parts=parts)


def wait_until_healthy(settings: Settings, say: Say = lambda line: None) -> None:
    """Wait for every part of a running stack.

    Raises:
        UnavailableError: The supervisor or a part died, or time ran out.
    """
    home, deadline = settings.place, time.monotonic() + settings.up_timeout_seconds
    apply(settings, addresses_of(settings), os.environ)
    died_before = {name: part.restarts for name, part in _parts(home).items()}
    healthy: set[PartName] = set()
    problems: dict[PartName, str] = {}
    while not (parts := _parts(home)) or set(parts) - healthy:
        _refuse_dead(home, parts, died_before)
        for name in [name for name in parts if name not in healthy and parts[name].state in ("running", "external")]:
            problems[name] = problem_of(name, addresses_of(settings), parts[name].since)
            if not problems[name]:
                healthy.add(name)
                say(f"{name} is healthy")
        if time.monotonic() > deadline:
            raise _too_late(home, settings, {n: p for n, p in problems.items() if n not in healthy})
        time.sleep(POLL_SECONDS)


def bury(home: Home) -> None:
    """End what a killed stack left: its leashes end their parts by themselves, so force is for what has no leash."""
    deadline = time.monotonic() + BURY_SECONDS
    while any(map(_is_leash, held_processes(home))) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    end(held_processes(home), grace_seconds=5)
    home.state.unlink(missing_ok=True)


def held_processes(home: Home) -> list[psutil.Process]:
    """Every process of ours that was started by the stack of this home, whoever its parent is now."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.uids().real == os.getuid()
                and process.environ().get(HELD_BY) == str(home.root)
                and runs(process)
            ):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _is_leash(process: psutil.Process) -> bool:
    try:
        return leash.__name__ in process.cmdline()
    except psutil.Error:
        return False


def _parts(home: Home) -> dict[PartName, PartState]:
    state = read_state(home)
    return state.parts if state else {}


def _refuse_another(state: StackState, wanted: Addresses) -> None:
    if state.addresses == wanted:
        return
    names = [name for name in Addresses.model_fields if getattr(state.addresses, name) != getattr(wanted, name)]
    have = ", ".join(f"{name} {getattr(state.addresses, name)}" for name in names)
    want = ", ".join(str(getattr(wanted, name)) for name in names)
    raise ConfigError(f"the stack runs with {have}, but the environment asks for {want}: run `ingot down` first")


def _spawn_supervisor(settings: Settings) -> None:
    home = settings.place
    log = open_log(home.log("supervisor"))
    process = subprocess.Popen(
        [sys.executable, "-m", "deployments.local.supervisor", str(Path.cwd())],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    os.close(log)
    while read_state(home) is None and process.poll() is None:
        time.sleep(0.05)


def _or_stop_again(settings: Settings, say: Say) -> None:
    try:
        wait_until_healthy(settings, say)
    except BaseException:
        _stop(settings.place)
        raise


def _stop(home: Home) -> bool:
    state = read_state(home)
    supervisor = state.supervisor.find() if state else None
    if supervisor is not None:
        supervisor.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while runs(supervisor) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS / 4)
        if runs(supervisor):
            supervisor.kill()
    bury(home)
    return supervisor is not None


def _refuse_dead(home: Home, parts: dict[PartName, PartState], died_before: dict[PartName, int]) -> None:
    state = read_state(home)
    if state is None or not state.alive:
        raise _dead(home, "supervisor", "ended at start")
    for name, part in parts.items():
        if part.restarts > died_before.get(name, 0):
            raise _dead(home, name, part.last_exit)


def _dead(home: Home, part: str, how: str) -> UnavailableError:
    log = home.log(part)
    lines = "\n".join(f"  {line}" for line in last_lines(log)) or "  (it wrote nothing)"
    return UnavailableError(f"{part} {how}, but must keep running: see the end of {log}\n{lines}")


def _too_late(home: Home, settings: Settings, problems: dict[PartName, str]) -> UnavailableError:
    which = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
    return UnavailableError(
        f"the stack is not healthy after {settings.up_timeout_seconds:g} s ({which}): "
        f"see {home.logs}, or set INGOT_UP_TIMEOUT_SECONDS higher"
    )


def _report(name: PartName, part: PartState, state: StackState, home: Home) -> PartReport:
    process = part.process.find() if part.process else None
    problem = part.last_exit if part.state == "restarting" else problem_of(name, state.addresses, part.since)
    return PartReport(
        name=name,
        healthy=not problem,
        state=part.state,
        address=part.address,
        problem=problem,
        pid=process.pid if process else None,
        uptime_seconds=round(time.time() - part.since, 1) if process else 0.0,
        memory_bytes=_memory(process) if process else 0,
        restarts=part.restarts,
        last_exit=part.last_exit,
        log=tuple(last_lines(home.log(name), 8)) if problem or part.restarts else (),
    )


def _memory(process: psutil.Process) -> int:
    total = 0
    for one in (process, *descendants(process.pid)):
        try:
            total += int(one.memory_info().rss)
        except psutil.Error:
            continue
    return total
