"""Whether a port is free, and who holds it when it is not."""

import socket
from collections.abc import Mapping
from pathlib import Path

import psutil

from tasks.contracts.errors import ConfigError

LOCALHOST = "127.0.0.1"


def refuse_taken(ports: Mapping[str, int]) -> None:
    """Check that every port can be listened on.

    Args:
        ports: The port of each variable that sets one.

    Raises:
        ConfigError: One is taken; the message names its holder.
    """
    for name, port in ports.items():
        if not is_free(port):
            raise ConfigError(
                f"{name} is {port}, but must be free: {holder(port)} holds it; "
                f"stop it, or set {name.split(' ')[0]} to another port"
            )


def is_free(port: int) -> bool:
    """Whether nobody listens on this port of 127.0.0.1 (or of all interfaces)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Connections of a stack that was just stopped linger for a minute in TIME_WAIT; they are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCALHOST, port))
        except OSError:
            return False
        return True


def holder(port: int) -> str:
    """Who listens on a port: `pid 12 (python -m http.server 4200)`, as far as we may know."""
    pid = _listener(port)
    if pid is None:
        return "a process of another user"
    try:
        program, *arguments = psutil.Process(pid).cmdline() or [""]
        command = " ".join([Path(program).name, *arguments])
    except psutil.Error:
        return f"pid {pid}"
    return f"pid {pid} ({command[:200]})" if command else f"pid {pid}"


def _listener(port: int) -> int | None:
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:  # macOS shows other processes' connections to root alone
        return None
    return next(
        (c.pid for c in connections if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port and c.pid),
        None,
    )
