"""Servers as processes: started on cores of their own, asked until they are ready, measured with all their children."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

SERVER_CORES, CLIENT_CORES = [0], [1]
"""One core serves and another asks, where there are two; else they share, and the figures say so."""
if len(os.sched_getaffinity(0)) > 1:
    _cores = sorted(os.sched_getaffinity(0))
    SERVER_CORES, CLIENT_CORES = _cores[:1], _cores[-1:]
else:
    SERVER_CORES = CLIENT_CORES = sorted(os.sched_getaffinity(0))

_PATIENCE_SECONDS = 120.0


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Running:
    """A server process and its children.

    Args:
        command: What is run.
        ready: Path that answers 200 once it serves.
        port: Where it listens.
        log: Where its output goes.
        environment: Added to ours.
        cores: Where it may run; empty leaves that to the system.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        ready: str,
        port: int,
        log: Path,
        environment: Mapping[str, str] = {},
        cores: Sequence[int] = (),
        cwd: Path | None = None,
    ) -> None:
        self.port, self._log = port, log
        start = time.perf_counter()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env={**os.environ, **environment},
                preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,  # noqa: PLW1509
            )
        self._root = psutil.Process(self._process.pid)
        self._await(f"http://127.0.0.1:{port}{ready}", start)
        self.ready_seconds = time.perf_counter() - start

    def _await(self, url: str, start: float) -> None:
        while time.perf_counter() < start + _PATIENCE_SECONDS:
            if self._process.poll() is not None:
                break
            with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(url, timeout=5):
                return
            time.sleep(0.01)
        self.stop()
        raise RuntimeError(f"{url} is not ready: {self._log.read_text()[-2000:]}")

    def tree(self) -> list[psutil.Process]:
        """All its processes."""
        return [self._root, *self._root.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        total = 0.0
        for process in self.tree():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def memory(self) -> dict[str, float]:
        """MB of the tree: unique and resident sums, and the largest process's resident size."""
        whole = [process.memory_full_info() for process in self.tree()]
        return {
            "uss_mb": sum(each.uss for each in whole) / 1e6,
            "rss_mb": sum(each.rss for each in whole) / 1e6,
            "largest_rss_mb": max(each.rss for each in whole) / 1e6,
            "processes": len(whole),
        }

    def stop(self) -> None:
        """Ends it with all its children."""
        with suppress(psutil.NoSuchProcess):
            children = self._root.children(recursive=True)
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(15)
            for process in [*children, self._root]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self._process.wait()
