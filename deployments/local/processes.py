"""The end of process trees."""

import contextlib
import time
from collections.abc import Iterable

import psutil


def descendants(pid: int) -> list[psutil.Process]:
    """Every process below this one."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def end(processes: Iterable[psutil.Process], grace_seconds: float) -> None:
    """Terminate processes, and kill those that are still there after the grace."""
    left = list(processes)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    deadline = time.monotonic() + grace_seconds
    while (left := [p for p in left if runs(p)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()


def end_tree(pid: int, grace_seconds: float) -> None:
    """End everything below a process, however often it forks meanwhile, but not the process itself."""
    end(descendants(pid), grace_seconds)
    for _ in range(100):
        left = [process for process in descendants(pid) if runs(process)]
        if not left:
            return
        end(left, 0)
        time.sleep(0.05)


def runs(process: psutil.Process) -> bool:
    """Whether it is still there, and not only waiting to be reaped."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
