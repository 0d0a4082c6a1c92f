"""A small process that holds one part of the stack and dies with it: `python -m deployments.local.leash GRACE COMMAND`.

Standard input is a pipe whose other end the supervisor alone holds. When it closes, because the supervisor asks for
an end or because it was killed (even by SIGKILL), the leash terminates the part with all its descendants, waits
GRACE seconds, kills what is left, and goes. When the part dies by itself, what it leaves behind is ended likewise,
and the leash exits with the part's code (128 + n for signal n). As a subreaper it stays the ancestor of
grandchildren whose parents died. It imports psutil only when something must end: a leash costs 10 MB.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence

END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PR_SET_CHILD_SUBREAPER = 36
"""From linux/prctl.h."""


def hold(command: Sequence[str], grace_seconds: float, lifeline: int) -> int:
    """Run a command until it ends or the lifeline closes; its exit code, 0 when it was asked to end.

    Args:
        command: The part to run.
        grace_seconds: Time between SIGTERM and SIGKILL.
        lifeline: A descriptor at whose end of file everything ends.
    """
    adopt_orphans()
    wakeup = wake_on_signals()
    part = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    code: int | None = None
    while code is None:
        ready, _, _ = select.select([lifeline, wakeup], [], [])
        signals = os.read(wakeup, 64) if wakeup in ready else b""
        ended = reap().get(part.pid)
        asked = (lifeline in ready and not os.read(lifeline, 64)) or any(s in END_SIGNALS for s in signals)
        code = ended if ended is not None else 0 if asked else None

    from deployments.local.processes import end_tree

    end_tree(os.getpid(), grace_seconds)
    return code if code >= 0 else 128 - code


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies (Linux; elsewhere they go to init)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap() -> dict[int, int]:
    """Collect dead children without waiting: pid to exit code, negative for a signal."""
    codes: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            codes[pid] = os.waitstatus_to_exitcode(status)
    return codes


def wake_on_signals() -> int:
    """A descriptor that receives a byte for each dead child and each request to end: the signal's number."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGCHLD, *END_SIGNALS):
        signal.signal(number, lambda *_: None)
    return reader


def main() -> None:
    """Read grace and command from the command line."""
    sys.exit(hold(sys.argv[2:], float(sys.argv[1]), sys.stdin.fileno()))


if __name__ == "__main__":
    main()
