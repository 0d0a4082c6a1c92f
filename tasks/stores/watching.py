"""What was last seen of the sources that deployments retrain from; of several watchers one tells a change."""

from collections.abc import Callable
from urllib.parse import quote

from pydantic import ValidationError

from tasks.contracts.errors import IngotError
from tasks.contracts.sighting import Seen, Sighting, Watched
from tasks.stores.fingerprints import fingerprint
from tasks.stores.s3 import Store, Versioned


def look(store: Store, watched: Watched, tell: Callable[[str], bool]) -> Sighting:
    """Compares a source with what it was; a change is noted, told, and noted as told.

    Whoever is killed in between leaves a change untold, and the next look tells it: at least once, usually once.

    Args:
        store: Holds what was seen; reads s3:// sources.
        watched: Whose source.
        tell: Is given the reason of a change; False if it could not be told.
    """
    try:
        now = fingerprint(store, watched.source)
    except IngotError as error:
        return Sighting(watched=watched, state="unreadable", reason=" ".join(str(error).split()))
    key = _key(watched)
    standing = store.read(key)
    before = _seen(standing)
    if before and before.source == watched.source and before.fingerprint and not now:
        mute = f"{watched.source} does not say any more whether it changed: what it was is remembered"
        return Sighting(watched=watched, state="unwatchable", reason=mute)
    if before is None or before.source != watched.source or not before.fingerprint:
        return _first(store, key, watched, now, standing)
    if before.fingerprint == now and before.told:
        return Sighting(watched=watched, state="same")
    if before.fingerprint != now:
        change = Seen(source=watched.source, fingerprint=now, changes=before.changes + 1, told=False)
        if not store.replace(key, _bytes(change), standing.etag if standing else None):
            return Sighting(watched=watched, state="same")  # another watcher saw it too, and tells it
    return _told(store, key, watched, tell)


def _first(store: Store, key: str, watched: Watched, now: str, standing: Versioned[bytes] | None) -> Sighting:
    before = _seen(standing)
    seen = Seen(source=watched.source, fingerprint=now, changes=before.changes + 1 if before else 0)
    known = before is not None and (before.source, before.fingerprint) == (seen.source, now)
    if not known:
        store.replace(key, _bytes(seen), standing.etag if standing else None)
    if now:
        return Sighting(watched=watched, state="first", reason=f"{watched.source} is watched from now on")
    untold = f"{watched.source} cannot be watched: it has no strong ETag, so that only reading it all would tell"
    return Sighting(watched=watched, state="unwatchable", reason="" if known else untold)


def _told(store: Store, key: str, watched: Watched, tell: Callable[[str], bool]) -> Sighting:
    standing = store.read(key)
    seen = _seen(standing)
    reason = f"data of {watched.model} changed: {watched.source}"
    if standing is not None and seen is not None and tell(reason):
        store.replace(key, _bytes(seen.model_copy(update={"told": True})), standing.etag)
    return Sighting(watched=watched, state="changed", reason=reason)


def _key(watched: Watched) -> str:
    return f"watch/{quote(watched.deployment, safe='')}.json"


def _bytes(seen: Seen) -> bytes:
    return seen.model_dump_json().encode()


def _seen(standing: Versioned[bytes] | None) -> Seen | None:
    try:
        return Seen.model_validate_json(standing.content) if standing else None
    except ValidationError:  # not ours, or of another time: seen anew
        return None
