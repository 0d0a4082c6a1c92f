"""What a look at the source of a deployment's data says."""

import re
from typing import Literal

from tasks.contracts.record import Record

RETRAINING = re.compile(r"(^|[.:])retrain$")
"""Entry points of deployments that retrain."""


class Watched(Record):
    """A deployment that retrains a model from a source."""

    deployment: str
    """Its name."""
    model: str
    """Name of the model."""
    source: str
    """As its form says: a path, or an address."""


class Sighting(Record):
    """What became of a source since the look before."""

    watched: Watched
    state: Literal["first", "same", "changed", "unwatchable", "unreadable"]
    """Unwatchable: nobody can tell without reading all of it. Unreadable: see `reason`."""
    reason: str = ""
    """What is to be said, in one line; empty if there is no news."""


class Seen(Record):
    """The object `watch/<deployment>.json`: what a source was when it was last looked at."""

    source: str
    fingerprint: str
    """Empty if it cannot be watched."""
    changes: int = 0
    """How many changes were seen: so that what comes back is another object."""
    told: bool = True
    """Whether the last change has been told."""
