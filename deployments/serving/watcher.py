"""Follows champion pointers: sees a move within a poll, brings the version, and swaps it in only when it is proven.

Whatever goes wrong, the version that answers goes on answering. A bad version is tried again ever more seldom, for a
download can heal; a store that does not answer is asked again at the next poll.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from deployments.serving.attempts import Attempts
from deployments.serving.beside import Beside
from deployments.serving.figures import LOADS, REFUSED, Figures
from deployments.serving.library import Library, Served
from deployments.serving.loading import bring
from deployments.serving.seen import Seen
from deployments.serving.settings import is_model_name
from tasks.contracts.errors import ConfigError, IngotError, InputError, IntegrityError, UnavailableError
from tasks.contracts.manifest import POINTER_TYPE, JournalEntry, Pointer
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store, Versioned
from tasks.stores.signing import Keyring

log = logging.getLogger("ingot.serving")

_MODELS = "models/"
_POINTER = "/aliases/champion.json"
_LONGEST_LAG_SECONDS = 20 * 60
"""A pointer may lag behind the journal for a while, until the reconciler has come by."""
_LISTING_SHARE = 10
"""Listing the bucket may take a tenth of our time: a journal of many thousand entries is listed more seldom."""
_LONGEST_PAUSE_SECONDS = 10.0
"""A listing that waited for a store that hung says nothing of what the next one costs."""


def _ignore(event: str, **facts: str | int) -> None:
    """Tells nobody."""


class Watcher:
    """Keeps a library in step with a bucket.

    Args:
        store: The bucket.
        library: What it installs champions in.
        names: The models to follow; none follows every model that has a champion.
        seen: Which pointers were verified before, also by earlier processes; by default this watcher's alone.
        keyring: Whose signatures count; by default what the environment says.
        figures: Where loads and refusals are counted.
        pins: Versions that must be at hand whoever is champion, by model.
        tell: Is told of every version that is swapped in or refused, for the audit log.
    """

    def __init__(
        self,
        store: Store,
        library: Library,
        names: Sequence[str] = (),
        *,
        seen: Seen | None = None,
        keyring: Keyring | None = None,
        figures: Figures | None = None,
        pins: Mapping[str, tuple[str, ...]] | None = None,
        tell: Callable[..., None] = _ignore,
    ) -> None:
        self._figures = figures or Figures()
        self._tell = tell
        self._store = store
        self._library = library
        self._seen = seen or Seen()
        self._keyring = keyring or Keyring.from_environment()
        self._journals: dict[str, Journal] = {}
        self._names = tuple(names)
        self._found: tuple[str, ...] = ()
        self._list_after = 0.0
        self._attempts = Attempts()
        self._beside = Beside(
            library,
            pins or {},
            bring=self._brought,
            seen=self._seen,
            keyring=self._keyring,
            figures=self._figures,
        )
        self._silent = False
        self.looked = threading.Event()
        """Set once the bucket was looked at, whatever came of it."""

    def run(self, stop: threading.Event, poll_seconds: float) -> None:
        """Looks again and again until told to stop."""
        while not stop.is_set():
            try:
                self.look()
            except Exception:  # the edge of this thread: it must outlive whatever nobody foresaw
                log.exception("the watcher stumbled; it looks again")
            if not self.looked.is_set():
                gc.freeze()  # what is loaded by now stays: the collector need not walk over it again and again
            self.looked.set()
            stop.wait(poll_seconds)

    def look(self) -> None:
        """One pass over all followed models; a store that cannot be read is logged once, until it can be again."""
        try:
            seen = [self._try(model) for model in self._followed()]
        except IngotError as error:
            self._lost(error)
            return
        if all(seen):
            self._library.looked()
            if self._silent:
                log.info("the store can be read again")
            self._silent = False

    def _followed(self) -> tuple[str, ...]:
        if self._names:
            return self._names
        start = time.monotonic()
        if start >= self._list_after:
            keys = (key for key in self._store.keys(_MODELS) if key.endswith(_POINTER))
            names = [key.removeprefix(_MODELS).removesuffix(_POINTER) for key in keys]
            self._found = tuple(name for name in names if is_model_name(name))
            end = time.monotonic()
            self._list_after = end + min(_LISTING_SHARE * (end - start), _LONGEST_PAUSE_SECONDS)
        return self._found

    def _try(self, model: str) -> bool:
        """Follows one pointer; False if the store did not let us."""
        try:
            found = self._store.read(f"{_MODELS}{model}{_POINTER}")
            if found is not None and self._attempts.due(model, found.etag):
                self._follow(model, found)
            if self._library.served(model):
                self._beside.look(self._journal(model))
        except IngotError as error:
            self._lost(error)
            return False
        return True

    def _follow(self, model: str, found: Versioned[bytes]) -> None:
        try:
            served = self._champion(model, found.content)
        except ConfigError as error:  # of this machine: what was seen cannot be written down, for instance
            self._refuse(model, found.etag, str(error))
        except (UnavailableError, InputError):
            raise  # the store's fault, or a wrong key: the version may be sound
        except IngotError as error:
            self._refuse(model, found.etag, str(error))
        except Exception as error:  # an edge: a version may be broken in ways nobody foresaw
            log.exception("model %s: loading failed in a way nobody foresaw", model)
            self._refuse(model, found.etag, f"{type(error).__name__} while loading")
        else:
            self._attempts.worked(model, found.etag)
            self._install(served)

    def _install(self, served: Served) -> None:
        before = self._library.served(served.model)
        self._library.install(served)
        if before and (before[0].version, before[0].seq) == (served.version, served.seq):
            return  # its pointer was renewed
        self._figures.add(LOADS, (served.model,))
        self._tell("version_swapped", model=served.model, version=served.version, seq=served.seq)
        log.info("model %s: version %s (seq %d) answers now", served.model, served.version, served.seq)

    def _lost(self, error: IngotError) -> None:
        if not self._silent:
            log.error("the store cannot be read, what is loaded goes on serving: %s", error)
        self._silent = True

    def _champion(self, model: str, content: bytes) -> Served:
        place = self._store.uri(f"{_MODELS}{model}{_POINTER}")
        pointer = self._keyring.unseal_record(Pointer, content, POINTER_TYPE, place)
        self._seen.check(place, pointer)
        journal = self._journal(model)
        entries = journal.entries()
        self._library.note_journal(model, entries)
        _check_pointer(pointer, entries, place)
        served = self._brought(journal, pointer)
        self._seen.note(place, pointer)
        return served

    def _journal(self, model: str) -> Journal:
        if model not in self._journals:
            self._journals[model] = Journal(self._store, model, self._keyring)
        return self._journals[model]

    def _brought(self, journal: Journal, pointer: Pointer) -> Served:
        kept = self._library.kept(journal.model, pointer.manifest)
        if kept is not None:
            return replace(kept, version=pointer.version, seq=pointer.seq, expires=pointer.expires)
        return bring(self._store, journal.model, pointer, journal.get_manifest(pointer.manifest))

    def _refuse(self, model: str, etag: str, reason: str) -> None:
        if self._attempts.failed(model, etag):
            log.error("model %s: the new champion is refused, what is loaded goes on serving: %s", model, reason)
            self._library.refuse(model, reason)
            self._figures.add(REFUSED, (model,))
            self._tell("version_refused", model=model, reason=reason[:500])


def _check_pointer(pointer: Pointer, entries: Sequence[JournalEntry], place: str) -> None:
    """Holds a pointer against the clock, and against the journal, which it may not lead.

    Raises:
        IntegrityError: it expired, or the journal says otherwise.
    """
    if pointer.lasts_seconds(datetime.now(UTC)) < 0:
        raise IntegrityError(
            f"{place} expired at {pointer.expires}, but must be renewed in time: run `ingot registry reconcile`, which "
            "a deployment does by schedule"
        )
    named = entries[pointer.seq - 1 : pointer.seq] if pointer.seq > 0 else []
    if [(each.version, each.manifest) for each in named] != [(pointer.version, pointer.manifest)]:
        raise IntegrityError(
            f"{place} names version {pointer.version} at seq {pointer.seq}, but the journal does not: restore both"
        )
    newest = next(entry for entry in reversed(entries) if entry.seq == pointer.seq or entry.action != "publish")
    lag_seconds = (datetime.now(UTC) - datetime.fromisoformat(newest.time)).total_seconds()
    if newest.seq > pointer.seq and lag_seconds > _LONGEST_LAG_SECONDS:
        raise IntegrityError(
            f"{place} is at seq {pointer.seq}, but entry {newest.seq} made another champion at {newest.time[:19]}: "
            "somebody put an old pointer back, or it was never moved: run `ingot registry reconcile`"
        )
    if named[0].action == "publish":
        raise IntegrityError(f"{place} names entry {pointer.seq}, which publishes, but must name a promotion")
