"""Who shares in a champion's requests: a canary answers some callers, a shadow is asked what the champion is asked."""

from typing import Annotated

from pydantic import Field

from tasks.contracts.record import Record

ROUTING_TYPE = "application/vnd.ingot.routing+json"


class Share(Record):
    """A published version, and how much it gets."""

    version: str
    manifest: str
    """SHA-256 of its manifest's payload."""
    weight: Annotated[float, Field(ge=0, le=1)]
    """Share of callers (canary) or of requests (shadow)."""


class Routing(Record):
    """What stands at `models/<name>/routing.json`; every change adds one to `seq`."""

    seq: int
    canary: Share | None = None
    shadow: Share | None = None
