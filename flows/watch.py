"""The watcher: new data start a run."""

from prefect import flow

from tasks.contracts.sighting import Sighting
from tasks.watch import watch as look


@flow(name="watch")
def watch() -> list[Sighting]:
    """Tell of data that changed since the last look; an automation runs the deployment that learns from them."""
    return look.submit().result()
