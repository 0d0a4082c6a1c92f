"""Epochs as a progress bar in the Prefect UI: an artifact that is moved every few seconds, and never by the training.

A change costs an API call, and a server that is away costs seconds. So a thread of its own tells the latest epoch; the
training only leaves it there. What the server does not take is let go.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import TaskRunContext
from prefect.exceptions import PrefectException

from tasks.exporters.ui_report import key_of
from tasks.trainers.loop import Epoch

EVERY_SECONDS = 3.0
PATIENCE_SECONDS = 0.5
"""How long the end of a training waits for the last change, which goes on behind it."""


@contextmanager
def epoch_artifact(
    model: str, what: str, epochs: int, *, every_seconds: float = EVERY_SECONDS
) -> Iterator[Callable[[Epoch], None]]:
    """A callable that takes each epoch; it lets them go where no task run is under way.

    Args:
        model: Names the artifact, `<model>-training`.
        what: Is trained.
        epochs: How many there will be at most.
        every_seconds: Between two changes.
    """
    board = _Board(f"{key_of(model)}-training", what, epochs)
    if TaskRunContext.get() is None:
        yield board.take
        return
    telling = threading.Thread(target=copy_context().run, args=(board.tell, every_seconds), daemon=True)
    telling.start()
    try:
        yield board.take
        board.done = True
    finally:
        board.ended.set()
        telling.join(PATIENCE_SECONDS)


@dataclass
class _Board:
    """Where the training leaves its latest epoch."""

    key: str
    what: str
    epochs: int
    latest: Epoch | None = None
    done: bool = False
    """Whether it ended well, perhaps before its last epoch."""
    ended: threading.Event = field(default_factory=threading.Event)
    artifact: UUID | None = None

    def take(self, epoch: Epoch) -> None:
        """Leave an epoch."""
        self.latest = epoch

    def tell(self, every_seconds: float) -> None:
        """Tell the server, until the training has ended."""
        told = None
        while True:
            over = self.ended.wait(every_seconds)
            epoch = self.latest
            if epoch is not None and (epoch is not told or over):
                with suppress(httpx.HTTPError, PrefectException):
                    self._show(epoch)
                    told = epoch
            if over:
                return

    def _show(self, epoch: Epoch) -> None:
        share = 100.0 if self.done else min(100.0, 100 * epoch.number / max(self.epochs, epoch.number))
        text = f"{self.what}: epoch {epoch.number} of {self.epochs}, loss {epoch.train_loss:.4g}"
        if self.artifact is None:
            made = create_progress_artifact(progress=share, key=self.key, description=text)
            self.artifact = made if isinstance(made, UUID) else None  # a coroutine only for asynchronous callers
        else:
            update_progress_artifact(self.artifact, progress=share, description=text)
