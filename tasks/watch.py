"""Watch: whether the data that deployments retrain from changed, told as an event for each that did."""

from functools import partial

from tasks.contracts.sighting import Sighting
from tasks.step import step


@step(name="watch")
def watch() -> list[Sighting]:
    """Look at the source of every deployment that retrains; one that cannot be read keeps no other waiting."""
    from prefect.logging import get_run_logger

    from tasks.exporters.deployments import watched_deployments
    from tasks.exporters.events import delivered, emit
    from tasks.stores.s3 import Store
    from tasks.stores.watching import look

    def tell(deployment: str, model: str, reason: str) -> bool:
        emit("ingot.data.changed", model, reason, deployment=deployment)
        return delivered()

    store = Store.from_environment()
    found = [look(store, each, partial(tell, each.deployment, each.model)) for each in watched_deployments()]
    for sighting in found:
        if sighting.reason:
            get_run_logger().info("%s: %s", sighting.watched.deployment, sighting.reason)
    return found
