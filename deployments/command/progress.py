"""The steps of a run in the terminal, one line each as it ends, told by what Prefect logs of its task runs."""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from tasks.contracts import errors
from tasks.contracts.errors import IngotError

END = re.compile(r"Finished in state (?P<state>\w+)\((?P<rest>.*)\)", re.DOTALL)
CAUSE = re.compile(r"encountered an exception:? (?P<kind>\w+): (?P<sentence>.*?)['\"]?$", re.DOTALL)
RANDOM_SUFFIX = re.compile(r"-[0-9a-f]{3}$")
MARKS = {"Completed": "[green]done  [/]", "Cached": "[blue]cached[/]"}


class Steps:
    """What has ended so far, and the first failure."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock, self._last = console, clock, clock()
        self.first_error: IngotError | None = None
        self.seconds: dict[str, float] = {}
        """Of each step, all its runs together; steps run one after the other, so each began when the last one ended."""

    def hear(self, name: str, message: str) -> None:
        """Take one line of a task run's log."""
        if (found := END.search(message)) is None:
            return
        now, run = self._clock(), RANDOM_SUFFIX.sub("", name)
        step, took, self._last = run.split(" ")[0], now - self._last, now
        self.seconds[step] = round(self.seconds.get(step, 0.0) + took, 3)
        mark = MARKS.get(found["state"], "[red]failed[/]")
        self._console.print(f"  {mark} {run:<33} {took:6.1f} s", highlight=False, soft_wrap=True)
        if found["state"] not in MARKS:
            self.first_error = self.first_error or _error_in(found["rest"])


class StepHandler(logging.Handler):
    """Passes records of task runs on to the steps that are shown; made by `logging.yml`."""

    listener: Steps | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on, if a run is being shown."""
        if StepHandler.listener is not None:
            StepHandler.listener.hear(str(getattr(record, "task_run_name", record.name)), record.getMessage())


@contextmanager
def shown(console: Console) -> Iterator[Steps]:
    """Show the steps of what runs inside.

    Raises:
        IngotError: The first step's own error, where the flow ended with one of Prefect's that only points to it.
    """
    steps = Steps(console)
    StepHandler.listener = steps
    try:
        yield steps
    except IngotError:
        raise
    except Exception as error:
        if steps.first_error is not None:
            raise steps.first_error from error
        raise
    finally:
        StepHandler.listener = None


def _error_in(text: str) -> IngotError | None:
    """The error of ours that a failed state's message names.

    >>> _error_in("'Task run encountered an exception DataError: rows.csv is empty'")
    DataError('rows.csv is empty')
    """
    found = CAUSE.search(text)
    kind = getattr(errors, found["kind"], None) if found else None
    if found is None or not (isinstance(kind, type) and issubclass(kind, IngotError)):
        return None
    return kind(found["sentence"])
