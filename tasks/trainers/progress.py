"""Epochs as a progress bar, where there is a terminal to draw it in."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tasks.trainers.loop import Epoch


def to_all(*listeners: Callable[[Epoch], None]) -> Callable[[Epoch], None]:
    """A callable that reports an epoch to each listener, in order."""

    def report(epoch: Epoch) -> None:
        for listener in listeners:
            listener(epoch)

    return report


def after(epochs: int, report: Callable[[Epoch], None]) -> Callable[[Epoch], None]:
    """A callable that reports an epoch as one that comes after so many others: a curve that goes on."""
    return lambda epoch: report(replace(epoch, number=epochs + epoch.number))


@contextmanager
def epoch_bar(what: str, epochs: int) -> Iterator[Callable[[Epoch], None]]:
    """A callable that moves a bar by one epoch; silent where standard error is not a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_interactive) as bar:
        row = bar.add_task(what, total=epochs, loss="-")
        yield lambda epoch: bar.update(row, completed=epoch.number, loss=f"{epoch.train_loss:.4f}")
