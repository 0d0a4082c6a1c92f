"""Usage and the audit log, kept by a thread of their own: the event loop only drops a record on a pile."""

import logging
import sqlite3
import threading
import time
from collections import deque
from typing import Any, NamedTuple

from deployments.serving.access.audit import AuditLog, utc
from deployments.serving.access.usage import Place, Usage
from deployments.serving.exchange import Request
from deployments.serving.reply import Reply

log = logging.getLogger("ingot.serving")

PAUSE_SECONDS = 0.15
_USAGE_SECONDS = 1.0
_STRANGERS_SECONDS = 10.0
_MOST_PENDING = 100_000
_BREATH = 64
"""Records after which other threads may have the interpreter: some 0.2 ms."""
_GONE = 499
"""As nginx has it: the client hung up before there was an answer."""


class Entry(NamedTuple):
    """One request, as it was when its answer had gone."""

    time: float
    request: Request
    status: int
    size_bytes: int
    seconds: float


class Books:
    """Takes down what happens.

    Args:
        usage: Where sums go.
        audit: Where lines go; None writes none.
    """

    def __init__(self, usage: Usage, audit: AuditLog | None) -> None:
        self._usage = usage
        self._audit = audit
        self._pile: deque[Entry | dict[str, Any]] = deque()
        self._turned_away: dict[str, int] = {}
        self._turned_after = 0.0
        self._usage_after = 0.0
        self._day = (0, "")
        self._troubled = False

    @property
    def full(self) -> bool:
        """Whether so much waits to be written that nothing more may happen: what cannot be audited is not answered."""
        return len(self._pile) > _MOST_PENDING

    def enter(self, request: Request, reply: Reply | None, seconds: float) -> None:
        """Drops a request on the pile."""
        status, size = (_GONE, 0) if reply is None else (reply.status, len(reply.body))
        self._pile.append(Entry(time.time(), request, status, size, seconds))

    def tell(self, event: str, **facts: Any) -> None:
        """Drops something on the pile that the server did or saw; any thread may."""
        self._pile.append({"time": utc(time.time()), "event": event, **facts})

    def turned_away(self, peer: str) -> None:
        """Counts a stranger who was not listened to: one line for many of them."""
        self._turned_away[peer] = self._turned_away.get(peer, 0) + 1

    def run(self, stop: threading.Event) -> None:
        """Writes again and again until told to stop, then all the rest."""
        while not stop.wait(PAUSE_SECONDS):
            self.write()
        self.write(last=True)

    def write(self, *, last: bool = False) -> None:
        """Writes what lies on the pile."""
        try:
            self._sum_up_strangers(last=last)
            if self._audit is not None:
                self._audit.write()  # what could not be written before: nothing is added to it until it can
            self._work_off()
            if self._audit is not None:
                self._audit.write()
            now = time.monotonic()
            if last or now >= self._usage_after:
                self._usage_after = now + _USAGE_SECONDS
                self._usage.write()
                if self._audit is not None:
                    self._audit.sync()
            self._troubled = False
        except (OSError, sqlite3.Error) as error:
            if not self._troubled:
                log.error("usage or the audit log cannot be written, it is tried again: %s", error)
            self._troubled = True
        except Exception:  # the edge of this thread: it must outlive whatever nobody foresaw
            log.exception("the books stumbled; they go on")

    def _work_off(self) -> None:
        for count in range(len(self._pile)):
            item = self._pile.popleft()
            if isinstance(item, dict):
                if self._audit is not None:
                    self._audit.add(item)
            else:
                self._take_down(item)
            if count % _BREATH == _BREATH - 1:
                time.sleep(0)

    def _take_down(self, entry: Entry) -> None:
        request, note = entry.request, entry.request.note
        caller = note.caller
        if caller.counted:
            # Names of models that are not served come from clients, and could be without end.
            model = note.model if note.version else ""
            tally = self._usage.tally(Place(caller.key, model, self._day_of(entry.time)))
            tally.requests += 1
            tally.rows += note.rows
            tally.errors += entry.status >= 400
            tally.bytes_in += note.body_bytes
            tally.bytes_out += entry.size_bytes
            tally.seconds += note.run_seconds
        if caller.audited and self._audit is not None:
            self._audit.add(
                {
                    "time": utc(entry.time),
                    "event": "request",
                    "request": request.id,
                    "key": caller.key,
                    "peer": request.peer,
                    "method": request.method[:16],
                    "path": request.path[:200],
                    "model": note.model[:80],
                    "version": note.version,
                    "status": entry.status,
                    "rows": note.rows,
                    "seconds": round(entry.seconds, 6),
                }
            )

    def _day_of(self, moment: float) -> str:
        number = int(moment // 86_400)
        if number != self._day[0]:
            self._day = number, utc(moment)[:10]
        return self._day[1]

    def _sum_up_strangers(self, *, last: bool) -> None:
        if self._turned_away and (last or time.monotonic() >= self._turned_after):
            self._turned_after = time.monotonic() + _STRANGERS_SECONDS
            taken, self._turned_away = self._turned_away, {}
            worst = max(taken, key=taken.__getitem__)
            self.tell("strangers_turned_away", count=sum(taken.values()), peers=len(taken), worst=worst)
