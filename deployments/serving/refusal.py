"""What a client did wrong, and the status it gets for it."""

import reprlib

from tasks.contracts.errors import InputError

_LONGEST_NAME = 80


class Refusal(InputError):  # noqa: N818 - what we do, not what went wrong with us
    """A request that is answered with 4xx (or 503 while a model is not loaded yet).

    Args:
        code: A word a program can branch on; the list is in the OpenAPI document.
        message: One line for a person: *what is value, but must rule: next move*.
        field: Where in the body, `inputs[0].age`; empty when it is not about a field.
        status: The HTTP status.
        headers: Sent with the answer, `Allow` for instance.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str = "",
        status: int = 400,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.status = status
        self.headers = headers


def shown(value: object) -> str:
    """A client's value, short enough for a message whatever was sent.

    >>> shown([1] * 1000)
    '[1, 1, 1, 1, 1, 1, ...]'
    """
    return reprlib.repr(value)


def clipped(name: str) -> str:
    """A client's name, short enough to be compared with the known ones: similarity costs the square of the length."""
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "..."
