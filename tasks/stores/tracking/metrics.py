"""Metrics in batches. They are put on disk, and sent from there by a thread: the loop never waits for MLflow.

A single `log_metric` costs 17 to 38 ms, a point of a batch 0.2 ms.
"""

import logging
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from tasks.contracts.errors import IngotError
from tasks.stores.tracking.client import address
from tasks.stores.tracking.spool import Entry, Point, keep, replay

MOST_POINTS = 500
EVERY_SECONDS = 5.0
"""A flush costs about 20 ms: every five seconds that is 0.4 % of an epoch."""

WAIT_SECONDS = 5.0
"""How long the end of a loop waits for MLflow; what is not sent by then stays on disk, and is sent later."""

MOST_HELD = 100_000
"""Points that are held in memory while the disk is full; the oldest are let go."""

log = logging.getLogger(__name__)


class Epoch(Protocol):
    """What a training loop reports after each pass."""

    @property
    def number(self) -> int:
        """Counted from 1."""

    @property
    def train_loss(self) -> float:
        """Of the training split."""

    @property
    def validation_loss(self) -> float:
        """Of the validation split."""

    @property
    def metric(self) -> float:
        """Accuracy, or RMSE."""

    @property
    def learning_rate(self) -> float:
        """Step size."""

    @property
    def seconds(self) -> float:
        """Wall time."""

    @property
    def ended_ms(self) -> int:
        """When it ended, in milliseconds since 1970; 0 is now."""


def points(metrics: Mapping[str, float], step: int, time_ms: int = 0) -> list[Point]:
    """Points of a moment, which is now if none is given."""
    now = time_ms or time.time_ns() // 1_000_000
    return [Point(name, float(value), now, step) for name, value in metrics.items()]


class EpochLog:
    """Takes a training loop's reports and logs them in batches; never slows or stops the loop because MLflow is down.

    Without a run id it takes them, and lets them go.

    >>> log = EpochLog("run", prefix="train")
    >>> log.report(1, {})
    """

    def __init__(
        self, run_id: str, prefix: str = "", *, most_points: int = MOST_POINTS, every_seconds: float = EVERY_SECONDS
    ) -> None:
        self._run_id = run_id
        self._prefix = f"{prefix}/" if prefix else ""
        self._most_points = most_points
        self._every_seconds = every_seconds
        self._waiting: list[Point] = []
        self._next = time.monotonic() + every_seconds
        self._sender: threading.Thread | None = None

    def __call__(self, epoch: Epoch) -> None:
        """Reports an epoch as `<prefix>/loss`, `/validation_loss`, `/validation_metric`, ....

        One that is reported again, since its training was resumed, is the same point for MLflow: it has its own time.
        """
        self.report(
            epoch.number,
            {
                "loss": epoch.train_loss,
                "validation_loss": epoch.validation_loss,
                "validation_metric": epoch.metric,
                "learning_rate": epoch.learning_rate,
                "seconds": epoch.seconds,
            },
            epoch.ended_ms,
        )

    def report(self, step: int, metrics: Mapping[str, float], time_ms: int = 0) -> None:
        """Takes the values of one step, and sends what has gathered if it is time."""
        if not self._run_id:
            return
        self._waiting += points({self._prefix + name: value for name, value in metrics.items()}, step, time_ms)
        if time.monotonic() >= self._next or len(self._waiting) >= self._most_points:
            self.flush()

    def flush(self) -> None:
        """Puts on disk what has gathered, and lets a thread send it."""
        if not self._run_id:
            return
        gathered, self._waiting = self._waiting, []
        self._next = time.monotonic() + self._every_seconds
        try:
            if gathered:
                keep(Entry(address=address(), run_id=self._run_id, points=tuple(gathered)))
        except OSError as error:
            log.warning("metrics cannot be written (%s): they are held in memory", error.strerror)
            self._waiting = gathered[-MOST_HELD:]
        if self._sender is None or not self._sender.is_alive():
            self._sender = threading.Thread(target=_send_quietly, name="ingot-metrics", daemon=True)
            self._sender.start()

    def settle(self, seconds: float = WAIT_SECONDS) -> None:
        """Waits until all is sent, but not longer than this."""
        deadline = time.monotonic() + seconds
        self._join(deadline)
        self.flush()  # what came while the thread was about to end
        self._join(deadline)

    def _join(self, deadline: float) -> None:
        if self._sender:
            self._sender.join(max(0.0, deadline - time.monotonic()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.settle()


def _send_quietly() -> None:
    """Whatever keeps it from being sent, it is on disk: whoever comes next says what is wrong."""
    with suppress(IngotError, OSError):
        replay(again=False)
