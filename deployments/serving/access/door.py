"""Who comes in. Nothing here waits for a disk or the store, but for a lease now and then (see `allowances`)."""

import hashlib
import time
from math import ceil

from deployments.serving.access.allowances import Allowances, Wait
from deployments.serving.access.books import Books
from deployments.serving.access.caller import ANYBODY, NOBODY, STRANGER, Caller
from deployments.serving.access.credentials import token_of
from deployments.serving.access.roster import Holder, Roster
from deployments.serving.access.strangers import Strangers
from deployments.serving.exchange import Request
from deployments.serving.refusal import Refusal
from deployments.serving.reply import Reply

_OPEN = frozenset(("/ping", "/health"))
_OPEN_BELOW = "/v2/health/"
_LONGEST_TOKEN = 256
_CHALLENGE = ((b"www-authenticate", b'Basic realm="ingot", charset="UTF-8", Bearer realm="ingot"'),)


class Door:
    """Lets callers in by the newest list of keys, and hands what they did to the books.

    Whoever holds a token may know that it was revoked or has expired: nobody else can have guessed 256 bits, so the
    code word tells, and spares its owner the search. Everybody else hears `unknown_key`.

    Args:
        allowances: Rates and quotas.
        books: Usage and the audit log.
        anonymous: Whether a server without keys answers everybody.
    """

    def __init__(self, allowances: Allowances, books: Books, *, anonymous: bool) -> None:
        self._allowances = allowances
        self._books = books
        self._anonymous = anonymous
        self._strangers = Strangers()
        self._roster: Roster | None = None

    @property
    def roster(self) -> Roster | None:
        """The list that counts now; None until the store was asked."""
        return self._roster

    @property
    def is_shut_for_want_of_keys(self) -> bool:
        """Whether there is no key, and nobody may come without."""
        return self._roster is not None and not self._roster.holders and not self._anonymous

    def tell(self, event: str, **facts: str | int) -> None:
        """Puts something that the server did or saw into the audit log; any thread may."""
        self._books.tell(event, **facts)

    def change(self, roster: Roster) -> None:
        """Puts another list in force, from the next request on."""
        self._roster = roster

    def admit(self, request: Request, model: str) -> Caller:
        """See `Access`."""
        note = request.note
        if request.path.startswith(_OPEN_BELOW) or request.path in _OPEN:
            note.caller = NOBODY
            return NOBODY
        if self._books.full:
            raise _closed("audit_stuck", "the audit log cannot be written, but must be: see the server's log")
        roster = self._roster
        if roster is None or not roster.holders:
            note.caller = self._without_keys(roster)
            return note.caller
        note.caller = STRANGER
        token = token_of(request.headers)
        holder = roster.holders.get(hashlib.sha256(token).digest()) if len(token) <= _LONGEST_TOKEN else None
        if holder is None:
            raise self._unknown(request, token)
        note.caller = holder.caller
        self._check(holder, model)
        return holder.caller

    def settle(self, request: Request, reply: Reply | None, seconds: float) -> None:
        """See `Access`."""
        caller = request.note.caller
        if caller.counted or caller.audited:
            self._books.enter(request, reply, seconds)

    def _without_keys(self, roster: Roster | None) -> Caller:
        if roster is None:
            raise _closed("not_ready", "the list of API keys is not read yet, but must be: try again in a second")
        if not self._anonymous:
            message = "there is no API key, but must be one on this interface: make one with `ingot keys add`"
            raise _closed("no_keys", message)
        return ANYBODY

    def _check(self, holder: Holder, model: str) -> None:
        wall = time.time()
        if holder.revoked:
            raise _refused("revoked_key", f"API key {holder.caller.key} was revoked: use another")
        if wall >= holder.expires:
            raise _refused("expired_key", f"API key {holder.caller.key} has expired: use another")
        if model:
            holder.caller.check(model)
        if holder.allowance is not None:
            wait = self._allowances.take(holder.allowance, time.monotonic(), wall)
            if wait is not None:
                raise _too_many(holder, wait)

    def _unknown(self, request: Request, token: bytes) -> Refusal:
        wait = self._strangers.wait(request.peer, time.monotonic())
        if wait > 0:
            request.note.caller = NOBODY
            self._books.turned_away(request.peer)
            seconds = str(ceil(wait)).encode()
            message = (
                f"too many requests without a valid API key came from {request.peer}: correct the token and wait "
                f"{seconds.decode()} s"
            )
            headers = ((b"retry-after", seconds), (b"connection", b"close"))
            return Refusal("too_many_failures", message, status=429, headers=headers)
        if not token:
            message = "there is no API key in the request, but must be: send `Authorization: Bearer TOKEN`"
            return _refused("missing_key", message)
        return _refused("unknown_key", "the API key is not known: send one that `ingot keys add` has shown")


def _refused(code: str, message: str) -> Refusal:
    return Refusal(code, message, status=401, headers=_CHALLENGE)


def _closed(code: str, message: str) -> Refusal:
    return Refusal(code, message, status=503, headers=((b"retry-after", b"1"),))


def _too_many(holder: Holder, wait: Wait) -> Refusal:
    seconds = max(1, ceil(wait.seconds))
    code, what = ("quota_spent", "quota of today") if wait.daily else ("rate_exceeded", "rate")
    message = f"the {what} of API key {holder.caller.key} is spent: try again in {seconds} s"
    return Refusal(code, message, status=429, headers=((b"retry-after", str(seconds).encode()),))
