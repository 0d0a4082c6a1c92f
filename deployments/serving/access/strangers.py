"""Those who come with tokens that nobody has: told so a few times, then sent away at the least cost.

This is about cost, not secrecy: 256 random bits cannot be guessed. A valid token always passes, for behind one address
there may be a proxy with many callers, one of them with a token that was mistyped. Whoever fails too often gets a 429
on a connection that is closed, so a guesser pays a handshake for each guess, and the audit log a line for many.
"""

_BURST = 20
_PER_SECOND = 1.0
_MOST_PEERS = 4096


class Strangers:
    """One token bucket for each address that failed."""

    def __init__(self) -> None:
        self._full_at: dict[str, float] = {}

    def wait(self, peer: str, now: float) -> float:
        """Seconds this address must wait before it is listened to; none if it may fail once more, which this does.

        Args:
            peer: The client's address.
            now: Seconds of the monotonic clock.
        """
        full_at = max(self._full_at.get(peer, now), now)
        missing = (full_at - now) * _PER_SECOND
        if missing > _BURST - 1:
            return (missing - _BURST + 1) / _PER_SECOND
        if len(self._full_at) >= _MOST_PEERS and peer not in self._full_at:
            self._forget(now)
        self._full_at[peer] = full_at + 1 / _PER_SECOND
        return 0.0

    def _forget(self, now: float) -> None:
        """Drops who has been quiet, or else everybody: memory is dearer than a few answers of 401."""
        self._full_at = {peer: full_at for peer, full_at in self._full_at.items() if full_at > now}
        if len(self._full_at) >= _MOST_PEERS:
            self._full_at = {}
