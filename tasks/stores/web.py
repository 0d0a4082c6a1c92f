"""What is read over http(s), with the password that `~/.netrc` keeps for its host: no form holds one."""

import netrc
import os
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tasks.contracts.errors import DataError, UnavailableError
from tasks.contracts.secrets import masked

TIMEOUT_SECONDS = 30
MOST_REDIRECTS = 5
ENVIRONMENT = "env://"
LATER = (408, 425, 429)


def address_of(source: str, field: str = "source") -> str:
    """The address that an `env://` source stands for; any other source as it is.

    Nobody shows the answer: messages, tags and parameters name the source.

    Raises:
        DataError: The variable holds no http(s) address.
    """
    if not source.startswith(ENVIRONMENT):
        return source
    variable = source.removeprefix(ENVIRONMENT)
    address = os.environ.get(variable, "").strip()
    if not address.lower().startswith(("http://", "https://")):
        what = "no http(s):// address" if address else "empty"
        raise DataError(
            f"{field} is {source}, but {variable} is {what}: export it where the run is made, "
            "for scheduled runs where `ingot up` or the worker is started"
        )
    return address


@contextmanager
def asked(method: str, address: str, source: str, field: str) -> Iterator[httpx.Response]:
    """An open answer, whose body is still to be read; a redirect to another host takes no password along.

    Args:
        method: GET or HEAD.
        address: Where to ask, as `address_of` gives it.
        source: What messages call it.
        field: Of the form, for the words of a refusal.

    Raises:
        DataError: It is no web address, or `~/.netrc` cannot be read.
        UnavailableError: The server did not answer.
    """
    client = httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=True, max_redirects=MOST_REDIRECTS)
    try:
        with client, client.stream(method, address, auth=_password()) as answer:
            yield answer
    except httpx.InvalidURL:
        # What httpx says may quote a part of a password, and a cause is logged.
        raise DataError(f"{field} is {masked(source)!r}, but is no web address: correct it") from None
    except httpx.HTTPError as error:
        raise UnavailableError(
            f"{source} did not answer ({type(error).__name__}): check the address and try again"
        ) from error


def refuse(source: str, status: int) -> None:
    """Goes on only after an answer of 200.

    Raises:
        DataError: There is nothing, or we are not let in.
        UnavailableError: The server cannot answer now.
    """
    if status >= 500 or status in LATER:
        raise UnavailableError(f"{source} answered {status}: try again later")
    if status in (401, 403):
        raise DataError(
            f"{source} answered {status}, but must let us in: put user and password into ~/.netrc, "
            "or the address with its token into a variable INGOT_SOURCE_SALES and name env://INGOT_SOURCE_SALES"
        )
    if status != 200:
        raise DataError(f"{source} answered {status}, but must answer 200: check the address")


def _password() -> httpx.NetRCAuth | None:
    """What `NETRC`, else `~/.netrc`, says of hosts; None without such a file."""
    try:
        return httpx.NetRCAuth(os.environ.get("NETRC") or None)
    except FileNotFoundError:
        return None
    except netrc.NetrcParseError as error:
        # Its message quotes the word it stumbled on, which may be a password.
        where = f"line {error.lineno} of {error.filename}" if error.lineno else "it, or its mode"
    except (OSError, UnicodeDecodeError):
        where = "its rights"
    raise DataError(f"~/.netrc cannot be read, but must be whole and its owner's alone: look at {where}")
