"""Everybody who is told of a training's epochs: MLflow, the terminal, the Prefect UI."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tasks.contracts.artifacts import Run
from tasks.exporters.ui_progress import epoch_artifact
from tasks.stores.tracking import EpochLog
from tasks.stores.tracking.system_metrics import system_metrics
from tasks.trainers.loop import Epoch
from tasks.trainers.progress import after, epoch_bar, to_all


@contextmanager
def watched(run: Run, what: str, epochs: int, earlier: int = 0) -> Iterator[Callable[[Epoch], None]]:
    """A callable that takes the reports of a training loop.

    Args:
        run: Where it belongs.
        what: Is trained; its metrics are called `<what>/loss` and so on.
        epochs: How many there will be at most.
        earlier: Epochs that the curve in MLflow already has.
    """
    with (
        system_metrics(run.mlflow_run_id),
        EpochLog(run.mlflow_run_id, prefix=what) as log,
        epoch_artifact(run.model_name, what, epochs) as artifact,
        epoch_bar(what, epochs) as bar,
    ):
        yield to_all(after(earlier, log), bar, artifact)
