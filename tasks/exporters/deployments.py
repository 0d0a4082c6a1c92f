"""Which deployments of the Prefect server retrain, and from which source: those made in the UI count as well."""

from collections.abc import Iterator, Mapping
from typing import Any

from tasks.contracts.sighting import RETRAINING, Watched

PAGE = 200


def watched_deployments() -> list[Watched]:
    """Every deployment that retrains a model from a source, by name."""
    found = [each for entry in _entries() if (each := watched_in(*entry)) is not None]
    return sorted(found, key=lambda watched: watched.deployment)


def watched_in(name: str, entrypoint: str, parameters: Mapping[str, Any]) -> Watched | None:
    """What is watched for a deployment, or None if it does not retrain or names no source.

    >>> watched_in("a", "flows.retrain.retrain", {"config": {"model_name": "m", "ingest": {"source": "x.csv"}}})
    Watched(deployment='a', model='m', source='x.csv')
    """
    config = parameters.get("config")
    ingest = config.get("ingest") if isinstance(config, Mapping) else None
    if not (RETRAINING.search(entrypoint) and isinstance(config, Mapping) and isinstance(ingest, Mapping)):
        return None
    model, source = config.get("model_name"), ingest.get("source")
    if not (isinstance(model, str) and model and isinstance(source, str) and source):
        return None
    return Watched(deployment=name, model=model, source=source)


def _entries() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        offset = 0
        while page := client.read_deployments(limit=PAGE, offset=offset):
            yield from ((each.name, each.entrypoint or "", each.parameters) for each in page)
            offset += len(page)
