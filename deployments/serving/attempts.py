"""What came of the last try of each thing that is followed: a bad one is tried again ever more seldom."""

import time
from dataclasses import dataclass

_LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Attempt:
    etag: str
    failures: int = 0
    not_before: float = 0.0


class Attempts:
    """By name and ETag."""

    def __init__(self) -> None:
        self._last: dict[str, _Attempt] = {}

    def due(self, name: str, etag: str) -> bool:
        """Whether it is new, or failed long enough ago."""
        last = self._last.get(name)
        if last is None or last.etag != etag:
            return True
        return last.failures > 0 and time.monotonic() >= last.not_before

    def worked(self, name: str, etag: str) -> None:
        """Notes a success."""
        self._last[name] = _Attempt(etag)

    def failed(self, name: str, etag: str) -> bool:
        """Notes a failure; whether it is the first of this ETag."""
        last = self._last.get(name)
        failures = last.failures if last is not None and last.etag == etag else 0
        pause = min(2.0**failures, _LONGEST_PAUSE_SECONDS)
        self._last[name] = _Attempt(etag, failures + 1, time.monotonic() + pause)
        return not failures
