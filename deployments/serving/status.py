"""The document at `/status.json`: what changes on the status page from second to second."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from deployments.serving.library import Shelf
from deployments.serving.live import Live


def status(shelves: Sequence[tuple[str, Shelf]], waits_for: Sequence[str], live: Live) -> dict[str, Any]:
    """Which versions answer, and each model's last minute in this process.

    Args:
        shelves: All followed models by name.
        waits_for: What is missing before the server is ready.
        live: Where requests are counted.
    """
    return {
        "ready": not waits_for,
        "waits_for": list(waits_for),
        "models": [
            {
                "name": name,
                "version": shelf.served[0].version if shelf.served else None,
                "seq": shelf.served[0].seq if shelf.served else None,
                "refused_versions": shelf.refused,
                "last_minute": asdict(live.figures(name)),
            }
            for name, shelf in shelves
        ],
    }
