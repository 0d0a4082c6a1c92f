"""What must never be shown: secrets in addresses are refused, and those of the environment are masked.

Parameters, tags and logs are stored and read by many. So a form takes no address that holds a password or a token; it
comes from `~/.netrc`, by host, or the whole address from a variable that the source names: `env://INGOT_SOURCE_SALES`.
Masking is the last defence, for what a library quotes in an error.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from urllib.parse import quote, unquote

MASK = "***"
SHORTEST = 8
"""Shorter values would be found in innocent words."""
SOURCE = "INGOT_SOURCE_"
"""Begins the variables that hold addresses of sources; no form can name another."""
KEYS = ("INGOT_SIGNING_KEY", "INGOT_OPENSSF_KEY", "INGOT_TLS_KEY")
"""Hold the path of a PEM file, or its content."""
WORDS = (
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "INGOT_API_KEY", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN",
    "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING",
)  # fmt: skip


def _any_case(words: Iterable[str]) -> str:
    """A pattern without flags, which JSON schema does not know."""
    return "|".join("".join(f"[{c.upper()}{c}]" if c.isalpha() else c for c in word) for word in words)


_ENDS = _any_case(
    (
        "token",
        "secret",
        "password",
        "passwd",
        "signature",
        "credential",
        "api_?key",
        "api-key",
        "accesskey",
        "accesskeyid",
    )
)
_WHOLE = _any_case(("key", "sig", "pass", "pwd", "auth", "jwt"))
_QUERY = rf"[?&#;](?:[^=&#;\s]*(?:{_ENDS})|(?:{_WHOLE}))="
# A colon before something that is no port begins a password with a slash in it.
_USER = r"[^/?#]*@|[^/?#\[]*:[^/?#]*[^0-9/?#]"
OPEN = rf"^(?!\s*(?:[^/?#]*:[^/?#]*@|[^/?#]*://(?:{_USER}|[\s\S]*{_QUERY})))"
"""What an address without secrets matches; JSON schema's dialect, so that Prefect's server refuses the others as well,
before it stores them."""

_IN_TEXT = (
    re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://)[^/?#\s'\"]*(?=@)"),
    re.compile(rf"({_QUERY})[^&#;\s'\"]+"),
)


def open_address(address: str) -> str:
    """The address of a source, if all may read it.

    Raises:
        ValueError: It holds a password or a token, or names a variable that is not for sources.

    >>> open_address("https://example.org/rows.csv?year=2026")
    'https://example.org/rows.csv?year=2026'
    """
    if re.search(OPEN, address) is None:
        raise ValueError(
            "source holds a password or a token, but parameters are stored for all to read: put it into ~/.netrc, "
            f"or the whole address into a variable such as {SOURCE}SALES, and write env://{SOURCE}SALES"
        )
    if address.startswith("env://") and not re.fullmatch(rf"env://{SOURCE}[A-Z0-9_]+", address):
        raise ValueError(f"source is {address!r}, but must name a variable for sources: write env://{SOURCE}SALES")
    return address


def masked(text: str) -> str:
    """A text without the secrets of addresses in it, and of this environment.

    >>> masked("https://me:hidden@example.org/a.csv?token=hidden&year=1 did not answer")
    'https://***@example.org/a.csv?token=***&year=1 did not answer'
    """
    for pattern in _IN_TEXT:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    for secret in _values(tuple(os.environ.get(name, "") for name in names(os.environ))):
        text = text.replace(secret, MASK)
    return text


def names(environment: Iterable[str]) -> tuple[str, ...]:
    """The variables that hold secrets."""
    return (*KEYS, *WORDS, *(name for name in environment if name.startswith(SOURCE)))


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for programs that talk to nobody."""
    hidden = set(names(environment))
    return {name: value for name, value in environment.items() if name not in hidden}


@lru_cache(maxsize=8)
def _values(held: tuple[str, ...]) -> tuple[str, ...]:
    """What these values hide, the longest first, each as it is and as addresses have it."""
    found = {part for value in held for part in _parts(value)}
    found |= {quote(part, safe="") for part in found}
    return tuple(sorted((part for part in found if len(part) >= SHORTEST), key=len, reverse=True))


def _parts(value: str) -> Iterator[str]:
    if "-----BEGIN" in value:
        yield from (line for line in value.split() if "-----" not in line and line.isascii())
    elif "://" in value:
        # By hand: it may be no address, and whoever is told so must not be told the password.
        user = value.partition("://")[2].rpartition("@")[0]
        password = user.partition(":")[2]
        yield from (value, user, unquote(password), password)
        yield from (unquote(found) for found in re.findall(rf"{_QUERY}([^&#;\s]+)", value))
    elif not value.startswith(("/", "~", "./")):
        yield from (value, value.partition(":")[2])
