"""What a training costs its machine, in MLflow's tab *System metrics*: CPU and memory of our processes and of all.

MLflow's own monitor asks the server at each sample and can hang for minutes at the end where it is away. This one
gathers, and sends every half minute from a thread of its own.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from tasks.contracts.errors import InputError, UnavailableError
from tasks.stores.tracking.client import address, answered, client
from tasks.stores.tracking.metrics import points
from tasks.stores.tracking.spool import Entry, Point, deliver

EVERY_SECONDS = 5.0
SENT_EVERY = 6
"""Samples of one request."""
PATIENCE_SECONDS = 0.5
"""How long the end of a training waits for the last request, which goes on behind it: 20 ms where MLflow answers."""
MEGABYTE = 1e6


@contextmanager
def system_metrics(run_id: str, *, every_seconds: float = EVERY_SECONDS) -> Iterator[None]:
    """Sample while the body runs, and once at its end; nothing without a run id."""
    if not run_id:
        yield
        return
    ended = threading.Event()
    watching = threading.Thread(target=_watch, args=(run_id, ended, every_seconds), daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join(PATIENCE_SECONDS)


def _watch(run_id: str, ended: threading.Event, every_seconds: float) -> None:
    sampler, waiting, over = _Sampler(), list[Point](), False
    started: float | None = None
    while not over:
        over = ended.wait(every_seconds)
        waiting += sampler.sample()
        if over or len(waiting) >= SENT_EVERY * len(sampler.names):
            with suppress(UnavailableError, InputError):
                started = _started(run_id) if started is None else started
                told = [each._replace(step=max(0, int(each.time_ms / 1000 - started))) for each in waiting]
                deliver(Entry(address=address(), run_id=run_id, points=tuple(told)))
                waiting.clear()


def _started(run_id: str) -> float:
    """Seconds of the epoch: steps count from here, so that one training of a run goes on where the last one ended."""
    with answered():
        return float(client().get_run(run_id).info.start_time) / 1000


class _Sampler:
    """Shares are of the time since the last sample; a process of 100 % fills one core."""

    names = (
        "system/cpu_utilization_percentage", "system/system_memory_usage_percentage",
        "system/process_cpu_percentage", "system/process_memory_megabytes",
    )  # fmt: skip

    def __init__(self) -> None:
        psutil.cpu_percent()
        self._process = psutil.Process()
        self._clock, self._cpu, _ = self._ours()

    def sample(self) -> list[Point]:
        """The four values of now."""
        clock, cpu, memory = self._ours()
        share = 100 * max(0.0, cpu - self._cpu) / max(clock - self._clock, 1e-3)
        self._clock, self._cpu = clock, cpu
        values = (psutil.cpu_percent(), psutil.virtual_memory().percent, share, memory / MEGABYTE)
        return points(dict(zip(self.names, values, strict=True)), 0)

    def _ours(self) -> tuple[float, float, float]:
        """Now, and the CPU seconds and bytes of this process and those it started."""
        cpu = memory = 0.0
        for process in (self._process, *self._process.children(recursive=True)):
            with suppress(psutil.Error):  # it has ended meanwhile
                times = process.cpu_times()
                cpu, memory = cpu + times.user + times.system, memory + process.memory_info().rss
        return time.monotonic(), cpu, memory
