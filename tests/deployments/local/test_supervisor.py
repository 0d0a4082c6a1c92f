"""A real supervisor over small real parts."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil
import pytest

from deployments.local.home import Home
from deployments.local.parts import HELD_BY, Part
from deployments.local.stack import bury, held_processes
from deployments.local.state import PartState, StackState, read_state
from deployments.local.supervisor import Held, answers

DRIVER = """
import json, os, sys
from pathlib import Path
from deployments.local.home import Home
from deployments.local.parts import Part
from deployments.local.state import Addresses
from deployments.local.supervisor import Supervisor
home = Home(Path(sys.argv[1]))
environment = {**os.environ, "INGOT_HELD_BY": sys.argv[1]}
parts = [Part(name, "here", tuple(command), environment, needs, 5) for name, command, needs in json.loads(sys.argv[2])]
nowhere = Addresses(prefect_api_url="", mlflow_tracking_uri="", s3_endpoint_url="", bucket="", serving_url="")
Supervisor(home, Path("/"), nowhere, parts, {"prefect": "https://prefect.example.org/api"}).run()
"""
SLEEP = [sys.executable, "-c", "import time; time.sleep(120)"]
# Ends in the order in which it is told to; the file says who went first.
TELL = "import signal, sys, time; signal.signal(15, lambda *_: (open({file!r}, 'a').write({name!r} + ' '), sys.exit()))"


@pytest.fixture
def home(tmp_path) -> Iterator[Home]:
    made = Home(tmp_path / "home")
    made.prepare()
    yield made
    for process in held_processes(made):
        with suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture
def supervise(home) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    started = []

    def start(*parts: tuple[str, list[str], str]) -> "subprocess.Popen[bytes]":
        import json

        command = [sys.executable, "-c", DRIVER, str(home.root), json.dumps(parts)]
        started.append(subprocess.Popen(command, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def eventually(found: Callable[[], object], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not found() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(found())


def part(home: Home, name: str) -> PartState:
    state = read_state(home)
    return state.parts[name] if state and name in state.parts else PartState(state="waiting", address="")


def test_writes_down_what_it_holds(home, supervise):
    process = supervise(("s3", SLEEP, ""))
    assert eventually(lambda: part(home, "s3").state == "running")
    state = read_state(home)
    assert isinstance(state, StackState) and state.alive
    assert state.supervisor.pid == process.pid
    assert state.parts["s3"].process.find().ppid() == process.pid
    assert state.parts["prefect"].state == "external"


def test_a_part_waits_for_what_it_needs(home, supervise):
    supervise(("worker", SLEEP, "http://127.0.0.1:9/health"), ("s3", SLEEP, ""))
    assert eventually(lambda: part(home, "s3").state == "running")
    time.sleep(0.5)
    assert part(home, "worker").state == "waiting"


def test_a_part_that_dies_is_started_again_after_pauses_that_grow(home, supervise):
    supervise(("s3", [sys.executable, "-c", "print('no good', flush=True); raise SystemExit(3)"], ""))
    assert eventually(lambda: part(home, "s3").restarts >= 3)
    assert part(home, "s3").last_exit.startswith("ended with code 3 after ")
    assert home.log("s3").read_text().count("no good") >= 3
    restarts = part(home, "s3").restarts
    time.sleep(1)
    assert part(home, "s3").restarts - restarts <= 1


def test_a_part_whose_leash_is_killed_is_ended_and_started_again(home, supervise):
    supervise(("s3", SLEEP, ""))
    assert eventually(lambda: len(held_processes(home)) == 2)
    before = {process.pid for process in held_processes(home)}
    part(home, "s3").process.find().kill()
    assert eventually(lambda: part(home, "s3").restarts == 1 and part(home, "s3").state == "running")
    assert part(home, "s3").last_exit.startswith("was killed by Killed")
    assert eventually(lambda: len(held_processes(home)) == 2)
    assert not before & {process.pid for process in held_processes(home)}


def test_nothing_outlives_a_supervisor_that_is_killed(home, supervise):
    process = supervise(("s3", SLEEP, ""), ("mlflow", SLEEP, ""))
    assert eventually(lambda: len(held_processes(home)) == 4)
    process.kill()
    assert eventually(lambda: not held_processes(home))
    assert not read_state(home).alive


def test_what_is_left_when_all_leashes_are_killed_too_is_buried_by_the_next_start(home, supervise):
    process = supervise(("s3", SLEEP, ""))
    assert eventually(lambda: len(held_processes(home)) == 2)
    leash = part(home, "s3").process.find()
    orphan = leash.children()[0]
    process.send_signal(signal.SIGSTOP)
    leash.kill()
    process.kill()
    assert orphan.is_running()
    bury(home)
    assert not psutil.pid_exists(orphan.pid) or orphan.status() == psutil.STATUS_ZOMBIE
    assert read_state(home) is None


def test_ends_those_who_need_others_first_and_forgets_the_state(home, supervise, tmp_path):
    order = tmp_path / "order"

    def teller(name: str) -> list[str]:
        return [sys.executable, "-c", TELL.format(file=str(order), name=name) + "; time.sleep(120)"]

    process = supervise(*((name, teller(name), "") for name in ("s3", "mlflow", "worker")))
    assert eventually(lambda: len(held_processes(home)) == 6)
    time.sleep(0.5)
    process.terminate()
    assert process.wait(timeout=20) == 0
    assert order.read_text() == "worker mlflow s3 "
    assert not held_processes(home)
    assert read_state(home) is None


def test_the_pause_doubles_up_to_half_a_minute_and_starts_anew_after_a_steady_hour(tmp_path):
    held = Held(Part("s3", "here", (), {HELD_BY: str(tmp_path)}))
    pauses = []
    for _ in range(7):
        held.since = time.time()
        held.note_death(1)
        pauses.append(round(held.due - time.monotonic()))
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    held.since = time.time() - 3600
    held.note_death(1)
    assert round(held.due - time.monotonic()) == 1
    assert held.restarts == 8


def test_nobody_needed_always_answers_and_nobody_there_never_does():
    assert answers("")
    assert not answers("http://127.0.0.1:9")
    assert not answers("no address")
