"""How many bytes this process moved to and from stores."""

import threading
from dataclasses import dataclass, field


@dataclass
class Traffic:
    """Counts up, like a counter of Prometheus; threads may share it."""

    sent_bytes: int = 0
    received_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, *, sent: int = 0, received: int = 0) -> None:
        """Counts bytes."""
        with self._lock:
            self.sent_bytes += sent
            self.received_bytes += received


TRAFFIC = Traffic()
"""Of this process."""
