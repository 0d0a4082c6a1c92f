"""What every step has in common: a Prefect task that is tried again only after an error that can heal by itself.

Most steps are remembered as well, see `tasks.recall`.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from prefect import Task
from prefect.futures import PrefectFuture

from tasks.contracts.errors import UnavailableError
from tasks.recall import Recall, remembered
from tasks.stores.patience import patience

Result = TypeVar("Result")

WAITS_SECONDS = [2.0, 4.0, 8.0, 16.0, *[30.0] * 4, *[60.0] * 12]
"""Before each further try of a step: some 15 minutes in all, as long as a server may take to be mended."""


def can_heal(_task: Any, task_run: Any, state: Any) -> bool:
    """Whether a failed state deserves another try: a server that was away may be back, a wrong input stays wrong."""
    waited = sum(WAITS_SECONDS[: task_run.run_count - 1])
    return isinstance(state.result(raise_on_failure=False), UnavailableError) and waited < patience()


def step(
    *, name: str, task_run_name: str | None = None, recall: Recall | None = None
) -> Callable[[Callable[..., Result]], Task[..., Result]]:
    """A door: a task that waits up to a quarter of an hour for a server that is away.

    The parameters of the task stay open for the type checker: it takes values, or futures of them.

    Args:
        name: Of the task.
        task_run_name: Of each of its runs, where it is mapped; fields of its arguments stand in braces.
        recall: How it is remembered; None does it each time.
    """

    def door(body: Callable[..., Result]) -> Task[..., Result]:
        return Task(
            remembered(body, step=name, run_name=task_run_name, recall=recall) if recall else body,
            name=name,
            task_run_name=task_run_name,
            retries=len(WAITS_SECONDS),
            retry_delay_seconds=WAITS_SECONDS,
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
