"""Waiting for a server that is away, where no step does it: at the start of a flow, and between its steps."""

import logging
import os
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from tasks.contracts.errors import ConfigError, UnavailableError

Answer = TypeVar("Answer")

PATIENCE = "INGOT_PATIENCE_SECONDS"
DEFAULT_SECONDS = 900.0

log = logging.getLogger(__name__)


def patience() -> float:
    """How long a flow waits for a server that is away.

    Raises:
        ConfigError: The variable is no number of seconds.
    """
    given = os.environ.get(PATIENCE, "") or str(DEFAULT_SECONDS)
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ConfigError(f"{PATIENCE} is {given!r}, but must be a number of seconds: 0 waits for nobody")
    return seconds


def patiently(ask: Callable[[], Answer], say: Callable[[str], None] = log.warning) -> Answer:
    """What `ask` answers; while a server is away it is asked again, after 1, 2, 4, ... 30 seconds.

    Args:
        ask: Can be called again after UnavailableError.
        say: Is told once what is waited for.

    Raises:
        UnavailableError: The server is still away when patience ends; the last thing that was said of it.
    """
    seconds = patience()

    def tell(state: RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome:
            say(f"{state.outcome.exception()}; waiting for it up to {seconds:g} s")

    return Retrying(
        retry=retry_if_exception_type(UnavailableError),
        wait=wait_exponential_jitter(initial=1, max=30, jitter=0.5),
        stop=stop_after_delay(seconds),
        before_sleep=tell,
        reraise=True,
    )(ask)
