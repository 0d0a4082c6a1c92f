"""Results of steps in the store: `results/<key>.json`. A hit counts only while all that it names still stands.

`results/latest/<model>/<run of the step>` holds the key of the last result: what a new key is compared with. Results
are deleted by age with other garbage; then a step is simply done again.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

from pydantic import BaseModel, ValidationError

from tasks.contracts.artifacts import Artifact
from tasks.contracts.dataset import Dataset, DatasetManifest
from tasks.contracts.record import sha256_hex
from tasks.contracts.result import Result
from tasks.stores.s3 import Store

LATEST = "results/latest"


def find_result(store: Store, key: str) -> Result | None:
    """The result under a key; None if there is none, or if it cannot be read."""
    found = store.read(f"results/{key}.json")
    if found is None:
        return None
    try:
        return Result.model_validate_json(found.content)
    except ValidationError:  # damaged, or of another version of Ingot: it is done again
        return None


def keep_result(store: Store, key: str, result: Result) -> None:
    """Writes a result over whatever stands there: that was not found, or names what is gone."""
    _put(store, f"results/{key}.json", result.to_bytes())


def note_latest(store: Store, model: str, name: str, key: str) -> None:
    """Remembers which result a step of a model came to last."""
    place = _latest(model, name)
    standing = store.read(place)
    if standing is None or standing.content != key.encode():
        store.replace(place, key.encode(), standing.etag if standing else None)


def latest_result(store: Store, model: str, name: str) -> Result | None:
    """What a step of a model came to last."""
    found = store.read(_latest(model, name))
    return find_result(store, found.content.decode()) if found else None


def latest_names(store: Store, model: str) -> list[str]:
    """The steps of a model that were ever noted, the oldest result first."""
    found = sorted(store.objects(f"{LATEST}/{model}/"), key=lambda each: each.modified)
    return [unquote(each.key.rpartition("/")[2]) for each in found]


def stands(store: Store, value: Any) -> bool:
    """Whether everything that a value names is still in the store; what is old is written again, for it is in use."""
    return all(_stands(store, each) for each in _named(value))


def _named(value: Any) -> Iterator[Artifact | Dataset]:
    match value:
        case Artifact() | Dataset():
            yield value
        case BaseModel():
            for name in type(value).model_fields:
                yield from _named(getattr(value, name))
        case tuple() | list():
            for each in value:
                yield from _named(each)
        case dict():
            yield from _named(list(value.values()))


def _stands(store: Store, named: Artifact | Dataset) -> bool:
    if isinstance(named, Artifact):
        return store.refresh(named)
    key = f"datasets/{named.sha256}/dataset.json"
    found = store.read(key)
    if found is None:
        return False
    try:
        manifest = DatasetManifest.model_validate_json(found.content)
    except ValidationError:
        return False
    held = [manifest.quarantine.file] if manifest.quarantine else []
    if sha256_hex(found.content) != named.sha256 or not all(map(store.refresh, [*manifest.splits.values(), *held])):
        return False
    store.keep(key, found.content)
    return True


def about(name: str) -> tuple[str, str]:
    """The network and the scheme that a step is about, from its name; empty if it is about all.

    >>> about("quantize channels-50 static"), about("finetune channels-50:3"), about("evaluate")
    (('channels-50', 'static'), ('channels-50', ''), ('', ''))
    """
    network, _, scheme = name.partition(" ")[2].partition(" ")
    return network.partition(":")[0], scheme


def _put(store: Store, place: str, content: bytes) -> None:
    standing = store.read(place)
    store.replace(place, content, standing.etag if standing else None)


def _latest(model: str, name: str) -> str:
    return f"{LATEST}/{model}/{quote(name, safe=' ')}"
