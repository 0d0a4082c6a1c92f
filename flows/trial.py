"""How the search runs a step: as a node of Prefect's graph, or in this process without any server.

Both hand back something with a `result`, and take such things as arguments, so that one search serves the flow and
`ingot compress` alike. A trial is a step that may fail, or come too late, without an end to the search.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, Generic, Protocol, TypeVar

from prefect import Task

from tasks.contracts.artifacts import Dropped, Rung
from tasks.contracts.errors import GraphError, ModelError, TrainingError
from tasks.step import settled

FAILURES = (GraphError, ModelError, TrainingError)
"""What ends a trial, and not the search; a server that is away, or a wrong form, ends both."""

Result = TypeVar("Result")
Ended_co = TypeVar("Ended_co", covariant=True)


class Handle(Protocol[Ended_co]):
    """A step that has ended."""

    def result(self) -> Ended_co:
        """What it came to."""
        ...


class Call(Protocol):
    """Runs a step to its end; raises what the step raises."""

    def __call__(self, step: Task[..., Result], /, *arguments: Any, **named: Any) -> Handle[Result]:
        """Arguments may be handles of earlier steps."""
        ...


@dataclass(frozen=True)
class Ready(Generic[Result]):
    """A handle of a value."""

    value: Result

    def result(self) -> Result:
        """The value."""
        return self.value


def in_prefect(step: Task[..., Result], /, *arguments: Any, **named: Any) -> Handle[Result]:
    """As a task run of the current flow; Prefect draws its edges by the futures among the arguments."""
    return settled(step.submit(*arguments, **named))


def in_process(report: Callable[[str], None]) -> Call:
    """As plain functions.

    Args:
        report: Told the name of each step before it runs.
    """

    def call(step: Task[..., Result], /, *arguments: Any, **named: Any) -> Handle[Result]:
        values = [_value(each) for each in arguments]
        options = {name: _value(each) for name, each in named.items()}
        report(name_of_run(step, values, options))
        return Ready(step.fn(*values, **options))

    return call


def name_of_run(step: Task[..., Any], values: list[Any], options: dict[str, Any]) -> str:
    """What Prefect would call the run of a step."""
    if not isinstance(step.task_run_name, str):
        return step.name
    return step.task_run_name.format(**signature(step.fn).bind(*values, **options).arguments)


@dataclass
class Trials:
    """Runs trials while there is time, and keeps what became of those that came to nothing."""

    call: Call
    most_seconds: int | None
    """No trial starts after so long; None sets no limit."""
    clock: Callable[[], float] = time.monotonic
    dropped: list[Dropped] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._started = self.clock()

    def attempt(
        self, name: str, rung: Rung, step: Task[..., Result], /, *arguments: Any, **named: Any
    ) -> Handle[Result] | None:
        """Run a step, unless time is over; None if nothing came of it.

        Args:
            name: Of the network or the candidate, as it is told when it is dropped.
            rung: Where in the search this is.
            step: What is run.
            arguments: Of the step; handles are welcome.
            named: The same by name.
        """
        if self.most_seconds is not None and self.clock() - self._started >= self.most_seconds:
            self.drop(name, "time", f"evaluate.max_search_seconds is {self.most_seconds}, and they were over before it")
            return None
        try:
            return self.call(step, *arguments, **named)
        except FAILURES as error:
            self.drop(name, rung, str(error))
            return None

    def drop(self, name: str, rung: Rung, reason: str) -> None:
        """Note what is given up."""
        self.dropped.append(Dropped(name=name, rung=rung, reason=reason))


def _value(argument: Any) -> Any:
    return argument.value if isinstance(argument, Ready) else argument
