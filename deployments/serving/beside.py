"""Versions beside the champion: those pinned by number, a canary, a shadow; brought and proven like a champion.

A bad one is refused, and the champion goes on answering all.
"""

import logging
from collections.abc import Callable, Mapping

from deployments.serving.attempts import Attempts
from deployments.serving.figures import LOADS, REFUSED, Figures
from deployments.serving.library import Library, Part, Served
from deployments.serving.seen import Seen
from tasks.contracts.errors import IngotError, InputError, IntegrityError, UnavailableError
from tasks.contracts.manifest import JournalEntry, Pointer
from tasks.contracts.routing import Routing, Share
from tasks.stores.history import publication_of
from tasks.stores.journal import Journal
from tasks.stores.routing import Routes
from tasks.stores.signing import Keyring

log = logging.getLogger("ingot.serving")

Bring = Callable[[Journal, Pointer], Served]


class Beside:
    """Follows the routing of models and what is pinned of them.

    Args:
        library: What it installs in.
        pins: Model to the versions that must be at hand.
        bring: How a version is made ready.
        seen: Which routings were verified before.
        keyring: Whose signatures count.
        figures: Where loads and refusals are counted.
    """

    def __init__(
        self,
        library: Library,
        pins: Mapping[str, tuple[str, ...]],
        *,
        bring: Bring,
        seen: Seen,
        keyring: Keyring,
        figures: Figures,
    ) -> None:
        self._library = library
        self._pins = pins
        self._bring = bring
        self._seen = seen
        self._keyring = keyring
        self._figures = figures
        self._attempts = Attempts()

    def look(self, journal: Journal) -> None:
        """Brings what is missing of one model.

        Raises:
            IngotError: If the store does not answer.
        """
        for version in self._pins.get(journal.model, ()):
            self._follow_pin(journal, version)
        routes = Routes(journal.store, journal.model, self._keyring)
        found = routes.envelope()
        if found is not None and self._attempts.due(routes.place, found.etag):
            self._follow(journal, routes, found.content, found.etag)

    def _follow_pin(self, journal: Journal, version: str) -> None:
        name = f"{journal.model}@{version}"
        if not self._attempts.due(name, version):
            return
        try:
            self._library.pin(self._brought(journal, publication_of(journal, version, "version")))
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - an edge, as below
            self._refuse(journal.model, name, version, _reason(error))
        else:
            self._attempts.worked(name, version)

    def _follow(self, journal: Journal, routes: Routes, envelope: bytes, etag: str) -> None:
        try:
            routing = routes.open(envelope)
            # Noted as if it were a pointer: it must not fall back behind what was seen either.
            mark = Pointer(seq=routing.seq, version="routing", manifest=routing.digest, expires="")
            self._seen.check(routes.place, mark)
            canary, shadow = (self._part(journal, share) for share in (routing.canary, routing.shadow))
            self._seen.note(routes.place, mark)
        except (UnavailableError, InputError):
            raise  # the store's fault, or a wrong key
        except Exception as error:  # noqa: BLE001 - an edge: a version may be broken in ways nobody foresaw
            self._library.share(journal.model, None, None)
            self._refuse(journal.model, routes.place, etag, _reason(error))
        else:
            self._attempts.worked(routes.place, etag)
            self._library.share(journal.model, canary, shadow)
            log.info("model %s: %s", journal.model, _told(routing))

    def _part(self, journal: Journal, share: Share | None) -> Part | None:
        if share is None:
            return None
        entry = _committed(journal, share)
        return Part(self._brought(journal, entry), share.weight)

    def _brought(self, journal: Journal, entry: JournalEntry) -> Served:
        known = self._library.kept(journal.model, entry.manifest)
        if known is not None and known.version == entry.version:
            return known
        pointer = Pointer(seq=entry.seq, version=entry.version, manifest=entry.manifest, expires="")
        served = self._bring(journal, pointer)
        self._figures.add(LOADS, (journal.model,))
        return served

    def _refuse(self, model: str, name: str, etag: str, reason: str) -> None:
        if self._attempts.failed(name, etag):
            log.error("model %s: %s is refused, the champion answers all: %s", model, name, reason)
            self._library.refuse(model, reason)
            self._figures.add(REFUSED, (model,))


def _committed(journal: Journal, share: Share) -> JournalEntry:
    for entry in reversed(journal.entries()):
        if (entry.action, entry.version, entry.manifest) == ("publish", share.version, share.manifest):
            return entry
    raise IntegrityError(
        f"the routing names version {share.version} with manifest {share.manifest[:12]}, which the journal of "
        f"{journal.model!r} does not: change it with `ingot route {journal.model}`"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, IngotError):
        return str(error)
    log.error("loading failed in a way nobody foresaw", exc_info=error)
    return f"{type(error).__name__} while loading"


def _told(routing: Routing) -> str:
    shares = (("canary", routing.canary), ("shadow", routing.shadow))
    return ", ".join(f"{name} {share.version} at {share.weight:g}" for name, share in shares if share) or "no canary"
