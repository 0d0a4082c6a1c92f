"""Rates and quotas that hold over all workers of a machine: one small file, mapped by each of them.

A worker takes a lease of requests under a file lock (some 10 us) and spends it in memory (well under 1 us). A lease is
what the rate yields in `LEASE_SECONDS`, at least one request; what is left of it by then goes back with the next. So,
however many workers there are, a key gets at most

    burst + rate * (t + LEASE_SECONDS)      requests in any t seconds, where burst is one second's worth, at least 1
    daily                                   requests a UTC day

and never more. Daily quota is leased too, ever smaller towards its end; a clean end gives back what was not spent, and
a killed worker takes at most 64 requests with it, or one in 256 of what was left, if that is less.

The rate is a token bucket in its "virtual scheduling" form (GCRA, ITU-T I.371 annex A): one number a key, the moment
at which its bucket would be full again. The clock is the machine's monotonic one, which all processes share; the
kernel frees the lock of a process that dies.
"""

import fcntl
import math
import mmap
import os
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.access import MOST_KEYS, ApiKey
from tasks.contracts.errors import ConfigError

LEASE_SECONDS = 0.05
_DAY_SECONDS = 86_400
_SLOT = struct.Struct("<8sdqq")
"""Id of the key, moment of a full bucket, day, requests of that day."""
_SLOTS = 16_384
_MOST_DAILY_LEASE = 64
_DAILY_SHARE = 256
_RETRY_SECONDS = 1.0
"""A spent quota is asked for again so seldom: a worker that ends may have given some back."""
_BOOT_SECONDS = 10.0
"""A bucket that is full so much later than it can be was written before the clock began anew."""
_FREE = bytes(8)
_HAIR = 1e-9

assert _SLOTS > MOST_KEYS


@dataclass(slots=True)
class Allowance:
    """What one worker holds for one key; the event loop alone changes it."""

    offset: int
    rate: float
    daily: int
    rate_left: int = 0
    rate_until: float = 0.0
    """When the lease is forfeited; this and the next are seconds of the monotonic clock."""
    rate_retry: float = 0.0
    """Before this moment there is nothing to be had, so nobody asks."""
    day: int = -1
    daily_left: int = 0
    daily_retry: float = 0.0

    @property
    def burst(self) -> float:
        """Requests that may come at once after a quiet time."""
        return max(1.0, self.rate)

    @property
    def lease(self) -> int:
        """Requests that are taken at once."""
        return max(1, int(self.rate * LEASE_SECONDS))


@dataclass(frozen=True, slots=True)
class Wait:
    """There is nothing left now."""

    seconds: float
    daily: bool
    """Whether it is the quota that is spent, not the rate."""


class Allowances:
    """The file of all keys' rates and quotas. Each process opens it for itself, after any fork."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.posix_fallocate(self._file, 0, _SLOTS * _SLOT.size)  # a full disk must show now, not as a SIGBUS
            self._map = mmap.mmap(self._file, _SLOTS * _SLOT.size)
        except OSError as error:
            raise ConfigError(
                f"INGOT_SERVING_STATE is {path.parent}, but must be a folder we can write: {error.strerror or error}"
            ) from error
        self._lock = threading.Lock()
        self._held: dict[str, Allowance] = {}

    def of(self, keys: Sequence[ApiKey]) -> dict[str, Allowance | None]:
        """An allowance for each key's id, the same one at every call; None for a key that needs none."""
        limited = [key for key in keys if (key.rate_per_second or key.daily) and not key.revoked_at]
        fresh = [key for key in limited if key.id not in self._held]
        if fresh:
            with self._locked():
                for key, offset in zip(fresh, self._offsets(fresh), strict=True):
                    self._held[key.id] = Allowance(offset, key.rate_per_second, key.daily)
        return {key.id: None for key in keys} | {key.id: self._held[key.id] for key in limited}

    def take(self, allowance: Allowance, now: float, wall: float) -> Wait | None:
        """Takes one request out of an allowance; None if there was one.

        A request that its rate refuses does not count against the quota, nor the other way round.

        Args:
            allowance: One of `of`.
            now: `time.monotonic()`.
            wall: `time.time()`.
        """
        if allowance.rate:
            wait = self._rate_wait(allowance, now)
            if wait > 0:
                return Wait(wait, daily=False)
        if allowance.daily:
            day = int(wall // _DAY_SECONDS)
            if not self._has_daily(allowance, day, now):
                return Wait((day + 1) * _DAY_SECONDS - wall, daily=True)
            allowance.daily_left -= 1
        allowance.rate_left -= 1
        return None

    def close(self) -> None:
        """Gives back the quota that was leased and not spent."""
        with self._locked():
            for held in self._held.values():
                identity, full_at, day, used = _SLOT.unpack_from(self._map, held.offset)
                if held.daily and held.day == day and held.daily_left > 0:
                    _SLOT.pack_into(self._map, held.offset, identity, full_at, day, used - held.daily_left)
                    held.daily_left = 0
        self._map.flush()
        self._map.close()
        os.close(self._file)

    def _rate_wait(self, allowance: Allowance, now: float) -> float:
        """Seconds until the rate has a request to give; none if it has one now."""
        if allowance.rate_left > 0 and now < allowance.rate_until:
            return 0.0
        if now < allowance.rate_retry:
            return allowance.rate_retry - now
        return self._lease_rate(allowance, now)

    def _lease_rate(self, allowance: Allowance, now: float) -> float:
        """Takes what there is, up to a lease; else says how many seconds until there is something."""
        with self._locked():
            identity, full_at, day, used = _SLOT.unpack_from(self._map, allowance.offset)
            full_at -= allowance.rate_left / allowance.rate  # what was not spent of the last lease goes back
            missing = (full_at - now) * allowance.rate
            if not 0 <= missing <= allowance.burst + _BOOT_SECONDS * allowance.rate:  # long full; or of an earlier boot
                missing, full_at = 0.0, now
            level = allowance.burst - missing
            taken = min(allowance.lease, math.floor(level + _HAIR))
            full_at += max(taken, 0) / allowance.rate
            _SLOT.pack_into(self._map, allowance.offset, identity, full_at, day, used)
        allowance.rate_left = max(taken, 0)
        if taken > 0:
            allowance.rate_until = now + LEASE_SECONDS
            return 0.0
        wait: float = max((allowance.lease - level) / allowance.rate, _HAIR)  # a whole lease: a flood takes few locks
        allowance.rate_retry = now + wait
        return wait

    def _has_daily(self, allowance: Allowance, day: int, now: float) -> bool:
        if day == allowance.day and (allowance.daily_left > 0 or now < allowance.daily_retry):
            return allowance.daily_left > 0
        with self._locked():
            identity, full_at, standing, used = _SLOT.unpack_from(self._map, allowance.offset)
            left = max(0, allowance.daily - (used if standing >= day else 0))
            taken = min(left, max(1, min(_MOST_DAILY_LEASE, left // _DAILY_SHARE)))
            if taken:
                used = allowance.daily - left + taken
                _SLOT.pack_into(self._map, allowance.offset, identity, full_at, max(standing, day), used)
        allowance.day, allowance.daily_left = day, taken
        allowance.daily_retry = 0.0 if taken else now + _RETRY_SECONDS
        return taken > 0

    def _offsets(self, keys: list[ApiKey]) -> list[int]:
        wanted = {key.id.encode(): -1 for key in keys}
        free: list[int] = []
        for offset in range(0, _SLOTS * _SLOT.size, _SLOT.size):
            identity = self._map[offset : offset + 8]
            if identity in wanted:
                wanted[identity] = offset
            elif identity == _FREE:
                free.append(offset)
                if len(free) >= len(wanted):
                    break  # slots are taken in order: behind a free one there is none that is taken
        for identity, offset in wanted.items():
            if offset < 0:
                wanted[identity] = self._claimed(identity, free)
        return [wanted[key.id.encode()] for key in keys]

    def _claimed(self, identity: bytes, free: list[int]) -> int:
        if not free:
            raise ConfigError(
                f"INGOT_SERVING_STATE holds allowances of {_SLOTS} keys, but may not hold more: begin a fresh folder"
            )
        offset = free.pop(0)
        _SLOT.pack_into(self._map, offset, identity, 0.0, 0, 0)
        return offset

    def _locked(self) -> "_Locked":
        return _Locked(self._file, self._lock)


class _Locked:
    """Excludes other threads by a lock, and other processes by a file lock."""

    __slots__ = ("_file", "_lock")

    def __init__(self, file: int, lock: threading.Lock) -> None:
        self._file = file
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.acquire()
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._lock.release()
