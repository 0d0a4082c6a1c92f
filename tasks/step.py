"""What every step has in common: a Prefect task that is tried again only after an error that can heal by itself."""

from collections.abc import Callable
from typing import Any, TypeVar

from prefect import Task
from prefect.futures import PrefectFuture
from prefect.tasks import exponential_backoff

from tasks.contracts.errors import UnavailableError

Result = TypeVar("Result")


def can_heal(_task: Any, _task_run: Any, state: Any) -> bool:
    """Whether a failed state deserves another try: a server that was away may be back, a wrong input stays wrong."""
    return isinstance(state.result(raise_on_failure=False), UnavailableError)


def step(*, name: str, task_run_name: str | None = None) -> Callable[[Callable[..., Result]], Task[..., Result]]:
    """A door: a task that waits 2, 4, 8, 16 seconds for a server that is away.

    The parameters of the task stay open for the type checker: it takes values, or futures of them.

    Args:
        name: Of the task.
        task_run_name: Of each of its runs, where it is mapped; fields of its arguments stand in braces.
    """

    def door(body: Callable[..., Result]) -> Task[..., Result]:
        return Task(
            body,
            name=name,
            task_run_name=task_run_name,
            retries=4,
            retry_delay_seconds=exponential_backoff(backoff_factor=2),
            retry_jitter_factor=0.5,
            retry_condition_fn=can_heal,
        )

    return door


def settled(future: PrefectFuture[Result]) -> PrefectFuture[Result]:
    """The future of a step that has ended well; raises what the step raised.

    Steps are handed futures, since Prefect finds the edges of its graph by them; values it matches by identity, which
    draws edges between steps that merely share a string. A future that still runs it would draw as the parent.
    """
    future.result()
    return future
