"""Real processes: what a leash holds does not outlive it, whoever is killed and whatever forks."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

NOTE = "import os, pathlib, sys; pathlib.Path(sys.argv[1], str(os.getpid())).touch(); "
SLEEP = NOTE + "import time; time.sleep(120)"
DEAF = NOTE + "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(120)"
PARENT = NOTE + (
    "import subprocess; child = subprocess.Popen([sys.executable, '-c', sys.argv[2], sys.argv[1]]); child.wait()"
)
# The child goes to a session of its own and its parent is gone at once: nothing but the subreaper knows of it.
DAEMON = NOTE + (
    "import subprocess, time; "
    'middle = \'import subprocess, sys; subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1]],'
    " start_new_session=True)'; "
    "subprocess.run([sys.executable, '-c', middle, sys.argv[1], sys.argv[2]]); time.sleep(120)"
)


@pytest.fixture
def pids(tmp_path) -> Iterator[Callable[[int], list[int]]]:
    """Waits until so many processes have put down their pids; kills them in the end."""

    def wait_for(count: int) -> list[int]:
        assert eventually(lambda: len(list(tmp_path.iterdir())) >= count)
        return [int(path.name) for path in tmp_path.iterdir()]

    yield wait_for
    for path in tmp_path.iterdir():
        try:
            psutil.Process(int(path.name)).kill()
        except psutil.Error:
            continue


def eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def leash(folder: Path, code: str, *more: str, grace: float = 5.0) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "deployments.local.leash", str(grace), sys.executable, "-c", code, str(folder)]
    return subprocess.Popen([*command, *more], stdin=subprocess.PIPE, start_new_session=True)


def test_ends_the_part_when_the_lifeline_closes(tmp_path, pids):
    holding = leash(tmp_path, SLEEP)
    part = pids(1)
    holding.stdin.close()
    assert holding.wait(timeout=20) == 0
    assert gone(part)


def test_ends_the_part_on_sigterm(tmp_path, pids):
    holding = leash(tmp_path, SLEEP)
    part = pids(1)
    holding.terminate()
    assert holding.wait(timeout=20) == 0
    assert gone(part)


def test_kills_what_does_not_listen_when_the_grace_is_over(tmp_path, pids):
    holding = leash(tmp_path, DEAF, grace=0.3)
    part = pids(1)
    time.sleep(0.3)
    holding.stdin.close()
    assert holding.wait(timeout=20) == 0
    assert gone(part)


def test_ends_grandchildren_and_daemons_as_well(tmp_path, pids):
    for code in (PARENT, DAEMON):
        before = len(list(tmp_path.iterdir()))
        holding = leash(tmp_path, code, SLEEP)
        family = pids(before + 2)
        holding.stdin.close()
        assert holding.wait(timeout=20) == 0
        assert gone(family)


def test_ends_the_children_of_a_part_that_was_killed_and_passes_on_how_it_died(tmp_path, pids):
    holding = leash(tmp_path, PARENT, SLEEP)
    family = pids(2)
    parent = next(pid for pid in family if psutil.Process(pid).ppid() == holding.pid)
    os.kill(parent, signal.SIGKILL)
    assert holding.wait(timeout=20) == 128 + signal.SIGKILL
    assert gone(family)


@pytest.mark.parametrize("code", [0, 3])
def test_passes_on_the_code_of_a_part_that_ends_by_itself(tmp_path, code):
    holding = leash(tmp_path, f"raise SystemExit({code})")
    assert holding.wait(timeout=20) == code
    holding.stdin.close()


def test_nothing_is_left_when_the_holder_of_the_lifeline_is_killed(tmp_path, pids):
    holder = (
        "import subprocess, sys, time; "
        "subprocess.Popen([sys.executable, '-m', 'deployments.local.leash', '5', sys.executable, '-c', *sys.argv[1:]],"
        " stdin=subprocess.PIPE, start_new_session=True); time.sleep(120)"
    )
    with subprocess.Popen([sys.executable, "-c", holder, PARENT, str(tmp_path), SLEEP]) as process:
        family = pids(2)
        leashes = [child.pid for child in psutil.Process(process.pid).children()]
        process.kill()
    assert eventually(lambda: gone([*family, *leashes]))


def test_a_leash_imports_neither_psutil_nor_pydantic_while_it_holds():
    code = "import sys, deployments.local.leash; print(sorted({'psutil', 'pydantic', 'rich'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
