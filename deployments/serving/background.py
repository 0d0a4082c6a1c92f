"""Work beside the event loop: a thread that is told when to stop."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def running(
    work: Callable[[threading.Event], None], name: str, patience_seconds: float | None = None
) -> Iterator[None]:
    """Runs work in a thread of its own while the body runs.

    It is a daemon: what hangs, on a store for instance, does not hold up the end of the process.

    Args:
        work: Goes on until the event is set.
        name: Of the thread.
        patience_seconds: How long its end is waited for; None for as long as it takes.
    """
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,), name=f"ingot-{name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(patience_seconds)
