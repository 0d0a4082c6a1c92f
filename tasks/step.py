"""What every step has in common: a Prefect task that is tried again only after an error that can heal by itself."""

from functools import partial
from typing import Any

from prefect import task
from prefect.tasks import exponential_backoff

from tasks.contracts.errors import UnavailableError


def can_heal(_task: Any, _task_run: Any, state: Any) -> bool:
    """Whether a failed state deserves another try: a server that was away may be back, a wrong input stays wrong."""
    return isinstance(state.result(raise_on_failure=False), UnavailableError)


step = partial(
    task,
    retries=4,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_jitter_factor=0.5,
    retry_condition_fn=can_heal,
)
"""`@step(name=...)` makes a door: a task that waits 2, 4, 8, 16 seconds for a server that is away."""
