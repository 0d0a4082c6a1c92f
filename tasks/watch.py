"""Watch: whether the data that deployments retrain from changed, told as an event for each that did."""

from functools import partial

from tasks.contracts.sighting import Sighting
from tasks.step import step


@step(name="watch")
def watch() -> list[Sighting]:
    """Look at the source of every deployment that retrains; one that cannot be read keeps no other waiting."""
    from prefect.logging import get_run_logger

    from tasks.exporters.deployments import watched_deployments
    from tasks.exporters.events import CHANGED, tell
    from tasks.stores.s3 import Store
    from tasks.stores.watching import look

    store = Store.from_environment()
    found = []
    for each in watched_deployments():
        changed = partial(tell, CHANGED, each.model, deployment=each.deployment)
        found.append(look(store, each, changed))
    for sighting in found:
        if sighting.reason:
            get_run_logger().info("%s: %s", sighting.watched.deployment, sighting.reason)
    return found
