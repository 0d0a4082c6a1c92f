"""One MLflow client per process and address, that fails in our words. MLflow is imported when it is first asked for.

`MLFLOW_TRACKING_URI` says where; user names and passwords are the variables that MLflow knows.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

from tasks.contracts.errors import IngotError, InputError, UnavailableError

if TYPE_CHECKING:
    import requests

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

DEFAULTS = {
    # MLflow's own default tries seven times more, for four minutes, before it says that nobody listens. Two take 3 s.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    # Its default waits two minutes for each answer of a server that hangs.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "120",
    # It would write addresses between our lines, and the last line of `ingot run --json` is JSON.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED")
STATUS = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}
LATER = (408, 425, 429)
"""Of the answers that refuse, those that say when rather than what."""
SILENT = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED")
HEALTH_SECONDS = 5.0
REASON = re.compile(r"Connection refused|timed out|too many \d+ error responses|Failed to resolve|Connection aborted")


def address() -> str:
    """Where MLflow is.

    Raises:
        InputError: nobody said.
    """
    found = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not found:
        raise InputError("MLFLOW_TRACKING_URI is empty, but runs are tracked by a server: run `ingot up`, or set it")
    return found.rstrip("/")


def client() -> Any:
    """The `MlflowClient` of this process."""
    return _client(address())


@lru_cache(maxsize=8)
def _client(uri: str) -> Any:
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(uri)


def page(path: str) -> str:
    """The address of a page in MLflow's UI, without anybody's password."""
    parts = urlsplit(address())
    return f"{parts._replace(netloc=parts.netloc.rpartition('@')[2]).geturl()}/#/{path}"


def silent(
    answer: Answer,
) -> Callable[[Callable[Concatenate[str, Arguments], Answer]], Callable[Concatenate[str, Arguments], Answer]]:
    """Lets a function of a run do nothing where the run has no id: what works without servers is not tracked.

    Args:
        answer: What it then returns.
    """

    def silence(
        function: Callable[Concatenate[str, Arguments], Answer],
    ) -> Callable[Concatenate[str, Arguments], Answer]:
        @wraps(function)
        def perhaps(run_id: str, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
            return function(run_id, *args, **kwargs) if run_id else answer

        return perhaps

    return silence


@contextmanager
def answered() -> Iterator[None]:
    """Turns what MLflow raises into one sentence.

    Raises:
        UnavailableError: nobody answers, or with a fault of its own.
        InputError: MLflow refuses what it was asked, or whatever is there is no MLflow.
    """
    import requests
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise _translate(str(error.error_code), str(error)) from error
    except requests.RequestException as error:
        raise _refusal(error) from error


def answers() -> bool:
    """Whether MLflow is there, whatever it says to one question; a file or a database of the user's always is."""
    import requests

    if not address().startswith("http"):
        return True
    try:
        return requests.get(f"{address()}/health", timeout=HEALTH_SECONDS).status_code < 500
    except requests.RequestException:
        return False


@contextmanager
def unless(code: str) -> Iterator[None]:
    """As `answered`, but passes over one refusal, such as RESOURCE_ALREADY_EXISTS."""
    try:
        with answered():
            yield
    except InputError as error:
        if error_code(error) != code:
            raise


def error_code(error: InputError) -> str:
    """MLflow's own code for what it refused; files are refused by HTTP's alone."""
    status = getattr(getattr(error.__cause__, "response", None), "status_code", 0)
    return STATUS.get(status) or str(getattr(error.__cause__, "error_code", ""))


def _translate(code: str, message: str) -> IngotError:
    place = page("").partition("/#/")[0]
    if code in REFUSED:
        return InputError(
            f"MLflow at {place} refused us ({code}), but must know us: "
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    if code == "ENDPOINT_NOT_FOUND" or "not in a valid JSON format" in message:
        return InputError(f"{place} answers, but not as MLflow does: point MLFLOW_TRACKING_URI at an MLflow server")
    if code in SILENT:
        return _no_answer(message)
    return InputError(f"MLflow at {place} refused: {message.strip().splitlines()[0][:300]}")


def _refusal(error: "requests.RequestException") -> IngotError:
    """What a file transfer failed of: it answers with HTTP's status alone."""
    answer = error.response
    if answer is None or not 400 <= answer.status_code < 500 or answer.status_code in LATER:
        return _no_answer(str(error))
    status = answer.status_code
    return _translate(STATUS.get(status, "BAD_REQUEST"), f"the server answered {status} {answer.reason}")


def _no_answer(message: str) -> UnavailableError:
    place = page("").partition("/#/")[0]
    reason = REASON.search(message)
    return UnavailableError(
        f"MLflow at {place} does not answer ({reason.group() if reason else 'a fault of its own'}): "
        "run `ingot up`, or point MLFLOW_TRACKING_URI at a server that runs"
    )
