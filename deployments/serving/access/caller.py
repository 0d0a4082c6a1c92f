"""Who somebody is that asks, as far as it matters to the books."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request it is."""

    key: str = ""
    """The id of the API key; empty for somebody without."""
    name: str = ""
    counted: bool = True
    """Whether the request stands in the usage."""
    audited: bool = False
    """Whether it stands in the audit log: whatever needs a key does."""


NOBODY = Caller(counted=False)
"""Whoever asks for the server's health: no key, no trace."""
ANYBODY = Caller()
"""A caller of a server that has no keys."""
STRANGER = Caller(counted=False, audited=True)
"""Somebody without a valid key, where one is needed."""
