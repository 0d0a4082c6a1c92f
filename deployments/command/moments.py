"""Times and ages as they are typed."""

import re
from datetime import datetime, timedelta

from tasks.contracts.errors import ConfigError

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
AGE = re.compile(r"(?P<count>\d{1,5})\s*(?P<unit>[mhdw])")


def age(text: str, option: str) -> timedelta:
    """A length of time.

    >>> age("7d", "--older-than")
    datetime.timedelta(days=7)

    Raises:
        ConfigError: It is none.
    """
    found = AGE.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{option} is {text!r}, but must be an age such as 30m, 12h, 7d or 2w: correct it")
    return timedelta(**{UNITS[found["unit"]]: int(found["count"])})


def moment(text: str, option: str, now: datetime) -> datetime:
    """A moment: ISO 8601, in the zone of `now` if it names none, or an age before now.

    Raises:
        ConfigError: It is none, or lies ahead.
    """
    ago = AGE.fullmatch(text.strip().removesuffix("ago").strip())
    try:
        found = now - age(ago.group(), option) if ago else datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"{option} is {text!r}, but must be a time such as 2026-11-21T02:00, or an age such as 3d: correct it"
        ) from error
    found = found if found.tzinfo else found.replace(tzinfo=now.tzinfo)
    if found > now:
        raise ConfigError(f"{option} is {found.isoformat()}, but must not lie ahead of {now.isoformat()}: correct it")
    return found
