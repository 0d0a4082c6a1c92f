"""The socket a serving process listens on: bound here, or handed down by the parent of several workers."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tasks.contracts.errors import ConfigError

INHERITED = "INGOT_SERVING_LISTENER"
"""By which a parent tells its workers the number of the descriptor that is their listening socket."""
_BACKLOG = 2048


@contextmanager
def listening(host: str, port: int, environment: Mapping[str, str] = os.environ) -> Iterator[socket.socket]:
    """A bound socket, so that a taken port is known before anything is started.

    Raises:
        ConfigError: If the address cannot be had.
    """
    if environment.get(INHERITED):
        with socket.socket(fileno=int(environment[INHERITED])) as listener:
            yield listener
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                f"address is {host}:{port}, but must be free and this machine's ({reason}): "
                "choose another with INGOT_SERVING_PORT"
            ) from error
        listener.listen(_BACKLOG)
        yield listener
