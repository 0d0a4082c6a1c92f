"""What the app sees of access: someone is admitted before a request is handled, and settled with after the reply."""

from typing import Protocol

from deployments.serving.access.caller import ANYBODY, Caller
from deployments.serving.exchange import Request
from deployments.serving.reply import Reply


class Access(Protocol):
    """Decides who may ask, and keeps the books."""

    def admit(self, request: Request, model: str) -> Caller:
        """Lets a request in, and notes the caller on it, also when it is refused.

        Args:
            request: Its head; the body is still unread.
            model: The model that its path names; empty if it names none.

        Raises:
            Refusal: 401, 403, 429, or 503 while nobody can be known yet.
        """

    def settle(self, request: Request, reply: Reply | None, seconds: float) -> None:
        """Puts an answered request into the books; it must not fail.

        Args:
            request: With what was noted while it was answered.
            reply: What was sent; None if the client had hung up.
            seconds: From its head to its reply.
        """


class OpenAccess:
    """No keys and no books: for an app on its own."""

    def admit(self, request: Request, model: str) -> Caller:
        """Lets everybody in."""
        request.note.caller = ANYBODY
        return ANYBODY

    def settle(self, request: Request, reply: Reply | None, seconds: float) -> None:
        """Forgets it."""
