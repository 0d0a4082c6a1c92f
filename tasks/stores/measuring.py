"""What a stretch of work costs: wall and CPU seconds, peak memory, bytes to and from the store."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from tasks.contracts.result import Cost
from tasks.stores.s3.traffic import TRAFFIC

EVERY_SECONDS = 0.25


class Meter:
    """Reads what was spent since it was made; memory is looked at from a thread until it is stopped."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._started, self._cpu = time.monotonic(), self._cpu_seconds()
        self._sent, self._received = TRAFFIC.sent_bytes, TRAFFIC.received_bytes
        self._peak = self._resident()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="meter", daemon=True)
        self._thread.start()

    def read(self) -> Cost:
        """What was spent so far."""
        self._peak = max(self._peak, self._resident())
        return Cost(
            seconds=round(time.monotonic() - self._started, 3),
            cpu_seconds=round(max(0.0, self._cpu_seconds() - self._cpu), 3),
            peak_bytes=self._peak,
            sent_bytes=TRAFFIC.sent_bytes - self._sent,
            received_bytes=TRAFFIC.received_bytes - self._received,
        )

    def stop(self) -> None:
        """Looks no more."""
        self._end.set()

    def _watch(self) -> None:
        while not self._end.wait(EVERY_SECONDS):
            self._peak = max(self._peak, self._resident())

    def _resident(self) -> int:
        total = self._process.memory_info().rss
        for child in self._process.children(recursive=True):
            with suppress(psutil.Error):
                total += child.memory_info().rss
        return int(total)

    def _cpu_seconds(self) -> float:
        spent = self._process.cpu_times()
        return float(spent.user + spent.system + spent.children_user + spent.children_system)


@contextmanager
def metered() -> Iterator[Meter]:
    """A meter over what runs inside."""
    meter = Meter()
    try:
        yield meter
    finally:
        meter.stop()
