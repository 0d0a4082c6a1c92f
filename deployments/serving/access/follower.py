"""Follows the list of keys in the store: a change counts within a poll, and whatever is wrong leaves the old list.

It has a thread of its own, so that no download of a model, however long, keeps a revoked key alive.
"""

import logging
import sqlite3
import threading

from deployments.serving.access.allowances import Allowances
from deployments.serving.access.door import Door
from deployments.serving.access.roster import NO_KEYS, Roster
from deployments.serving.access.usage import Usage
from tasks.contracts.access import KeyList
from tasks.contracts.errors import InputError, IntegrityError, UnavailableError
from tasks.stores.access import Keys

log = logging.getLogger("ingot.serving")


class KeyFollower:
    """Keeps a door in step with the store.

    The highest seq ever in force is remembered on disk: neither an older list nor none at all is believed after it,
    not even by a server that starts anew. (One that starts on an empty state folder has seen nothing, and believes any
    list that is signed.)

    Args:
        keys: The list in the store.
        door: Where it is put in force.
        allowances: Rates and quotas.
        usage: Where names and the highest seq are written down.
    """

    def __init__(self, keys: Keys, door: Door, allowances: Allowances, usage: Usage) -> None:
        self._keys = keys
        self._door = door
        self._allowances = allowances
        self._usage = usage
        self._etag = ""
        self._list: KeyList | None = None
        self._complaint = ""

    def run(self, stop: threading.Event, poll_seconds: float) -> None:
        """Looks again and again until told to stop."""
        while not stop.wait(poll_seconds):
            try:
                self.look()
            except Exception:  # the edge of this thread: it must outlive whatever nobody foresaw
                log.exception("following the API keys stumbled; it goes on")

    def look(self) -> None:
        """One look; an error is logged once, until another comes or none."""
        try:
            self._look()
            self._complaint = ""
        except (UnavailableError, InputError) as error:
            self._complain(f"the list of API keys cannot be read, the last one counts on: {error}")
        except sqlite3.Error as error:
            self._complain(f"the list of API keys counts, but is not written down, and is tried again: {error}")
        except IntegrityError as error:
            self._complain(f"the list of API keys is refused, the last one counts on: {error}")

    def _look(self) -> None:
        found = self._keys.read()
        if found is None:
            if self._seen():
                raise IntegrityError(f"{self._keys.uri} is gone, but keys were seen before: restore it")
            if self._door.roster is None:
                self._door.change(NO_KEYS)
        elif found.etag != self._etag:
            self._follow(self._keys.unsealed(found.content))
            self._etag = found.etag

    def _follow(self, keys: KeyList) -> None:
        newest = self._seen()
        if keys.seq < newest or (self._list is not None and keys.seq == self._list.seq and keys != self._list):
            raise IntegrityError(
                f"{self._keys.uri} is at seq {keys.seq}, but must be newer than {newest}, which was seen before: "
                "somebody put another list back"
            )
        self._door.change(Roster.of(keys, self._allowances.of(keys.keys)))
        self._list = keys
        self._usage.see(self._keys.uri, keys.seq)
        self._usage.name({key.id: key.name for key in keys.keys})
        self._door.tell("keys_changed", seq=keys.seq, keys=len(keys.keys))
        log.info("API keys: list %d counts now, with %d keys", keys.seq, len(keys.keys))

    def _seen(self) -> int:
        return self._list.seq if self._list is not None else self._usage.seen(self._keys.uri)

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            log.error("%s", complaint)
        self._complaint = complaint
