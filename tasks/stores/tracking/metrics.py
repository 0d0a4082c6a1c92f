"""Metrics in batches. What MLflow does not take now waits on disk and is logged, in order and once, when it answers.

A single `log_metric` costs 17 to 38 ms, a point of a batch 0.2 ms. MLflow keeps a point (name, value, time, step) once
however often it is sent, so a batch whose answer was lost can be sent again.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol, Self
from uuid import uuid4

from tasks.contracts.errors import InputError, UnavailableError
from tasks.stores.tracking.client import REFUSED, address, answered, client, error_code

BATCH = 1000
"""Most points that MLflow takes at once."""

MOST_POINTS = 500
EVERY_SECONDS = 5.0
"""A flush costs about 20 ms: every five seconds that is 0.4 % of an epoch."""

PAUSE_SECONDS = 60.0
"""After a failure nothing is sent for so long: each try of a silent server costs seconds of training."""


class Point(NamedTuple):
    """One value of one metric."""

    name: str
    value: float
    time_ms: int
    step: int


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


def points(metrics: Mapping[str, float], step: int) -> list[Point]:
    """Points of this moment."""
    now = time.time_ns() // 1_000_000
    return [Point(name, float(value), now, step) for name, value in metrics.items()]


def send(run_id: str, wanted: Sequence[Point]) -> None:
    """Logs points to a run, at most 1,000 a request."""
    if not wanted:
        return
    mlflow = client()
    with answered():
        from mlflow.entities import Metric

        for start in range(0, len(wanted), BATCH):
            batch = [Metric(p.name, p.value, p.time_ms, p.step) for p in wanted[start : start + BATCH]]
            mlflow.log_batch(run_id, metrics=batch)


def keep(run_id: str, wanted: Sequence[Point]) -> Path:
    """Puts points on disk until MLflow answers; the file appears whole."""
    folder = _spool()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.time_ns()}-{uuid4().hex}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"address": address(), "run_id": run_id, "points": wanted}))
    return part.rename(path)


def replay() -> None:
    """Logs what waits on disk, oldest first. Points of runs that MLflow no longer takes are let go.

    Raises:
        UnavailableError: MLflow still does not answer; everything keeps waiting.
    """
    for path in sorted(_spool().glob("*.json")):
        with suppress(FileNotFoundError):  # another process is as far as we are
            waiting = json.loads(path.read_text())
            if waiting["address"] == address():
                _send_if_taken(waiting["run_id"], [Point(*point) for point in waiting["points"]])
                path.unlink()


def _send_if_taken(run_id: str, waiting: Sequence[Point]) -> None:
    try:
        send(run_id, waiting)
    except InputError as error:
        if error_code(error) in REFUSED:
            raise


def _spool() -> Path:
    return Path(os.environ.get("INGOT_HOME", ".ingot")) / "spool"


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
        self._silent_until = 0.0

    def __call__(self, epoch: Epoch) -> None:
        """Reports an epoch as `<prefix>/loss`, `/validation_loss`, `/validation_metric`, ...."""
        self.report(
            epoch.number,
            {
                "loss": epoch.train_loss,
                "validation_loss": epoch.validation_loss,
                "validation_metric": epoch.metric,
                "learning_rate": epoch.learning_rate,
                "seconds": epoch.seconds,
            },
        )

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        """Takes the values of one step, and sends what has gathered if it is time."""
        if not self._run_id:
            return
        self._waiting += points({self._prefix + name: value for name, value in metrics.items()}, step)
        if time.monotonic() >= self._next or len(self._waiting) >= self._most_points:
            self.flush()

    def flush(self) -> None:
        """Sends what has gathered; what cannot be sent waits on disk."""
        if not self._run_id:
            return
        gathered, self._waiting = self._waiting, []
        self._next = time.monotonic() + self._every_seconds
        try:
            if time.monotonic() < self._silent_until:
                raise UnavailableError("MLflow did not answer a moment ago")
            replay()
            send(self._run_id, gathered)
        except UnavailableError:
            self._silent_until = max(self._silent_until, time.monotonic() + PAUSE_SECONDS)
            if gathered:
                keep(self._run_id, gathered)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
