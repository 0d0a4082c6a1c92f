"""The versions that may answer now. One thread writes it, requests read it, and nobody waits for a lock.

Every change swaps one reference to a frozen whole. A request looks its version up once and keeps it to its end, so a
swap never reaches into a request in flight; the old session goes when its last request has gone.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from deployments.serving.refusal import Refusal, clipped
from tasks.contracts.errors import unknown_name
from tasks.contracts.manifest import JournalEntry, Manifest
from tasks.runtime.session import Session

_EARLIER_KEPT = 2
_ENTRIES_KEPT = 20


@dataclass(frozen=True, slots=True)
class Served:
    """One version, loaded, warmed, and true to its golden batch."""

    model: str
    version: str
    seq: int
    manifest_sha256: str
    manifest: Manifest
    session: Session
    row_seconds: float
    """What one row costs, measured while warming: decides whether a run leaves the event loop."""
    expires: str = ""
    """Until when the pointer to it may be believed; what answers goes on answering after that."""
    shares: bool = False
    """Whether its rows get the same answers in company as alone, so that questions may share a run."""
    card: str = ""
    """Its README.md, in Markdown; empty if there is none that can be shown."""


@dataclass(frozen=True, slots=True)
class Part:
    """A version that has a part in what another answers."""

    served: Served
    weight: float
    """Its share, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """All that is known of one followed model; `served` begins with the champion and is empty until one is loaded."""

    served: tuple[Served, ...] = ()
    refused: int = 0
    """Versions that were found bad since the process started."""
    last_refusal: str = ""
    pinned: tuple[Served, ...] = ()
    """Versions that were asked for by number."""
    canary: Part | None = None
    """What answers a share of the callers instead of the champion."""
    shadow: Part | None = None
    """What is asked the same as the champion, unheard."""
    journal: tuple[JournalEntry, ...] = ()
    """The newest entries as they stood when its pointer was last followed, oldest first."""

    @property
    def loaded(self) -> tuple[Served, ...]:
        """All versions that can be asked for, the champion first, each once."""
        parts = [part.served for part in (self.canary, self.shadow) if part is not None]
        found: dict[str, Served] = {}
        for each in (*self.served, *self.pinned, *parts):
            found.setdefault(each.version, each)
        return tuple(found.values())


class Library:
    """The shelves, by model.

    Args:
        names: The models to serve; none serves whatever the bucket holds.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._shelves = {name: Shelf() for name in names}
        self._by_name = bool(names)
        self._looked = False

    def shelf(self, model: str) -> Shelf:
        """What is known of a model.

        Raises:
            Refusal: 404 for a model that is not followed.
        """
        shelf = self._shelves.get(model)
        if shelf is None:
            raise Refusal("unknown_model", unknown_name("model", clipped(model), self._shelves), status=404)
        return shelf

    def find(self, model: str, version: str = "") -> Served:
        """The champion, or the version that is asked for.

        Raises:
            Refusal: 404 for an unknown model or version, 503 while the model has no champion yet.
        """
        shelf = self.shelf(model)
        if not shelf.served:
            message = f"model {model!r} is not loaded yet, but must be: {shelf.last_refusal or 'try again in a second'}"
            raise Refusal("not_ready", message, status=503, headers=((b"retry-after", b"1"),))
        if not version:
            return shelf.served[0]
        for served in shelf.loaded:
            if served.version == version:
                return served
        known = [served.version for served in shelf.loaded]
        raise Refusal("unknown_version", unknown_name("version", clipped(version), known), status=404)

    def choose(self, model: str, key: bytes) -> Served:
        """The version that answers a caller: the champion, or the canary if the caller falls into its share.

        Args:
            model: Its name.
            key: Who calls; the same always falls into the same place. Empty for somebody unknown, who falls anywhere.

        Raises:
            Refusal: As `find`.
        """
        champion = self.find(model)
        canary = self._shelves[model].canary
        return canary.served if canary is not None and place_of(model, key) < canary.weight else champion

    def shelves(self) -> list[tuple[str, Shelf]]:
        """All followed models by name."""
        return sorted(self._shelves.items())

    def champions(self) -> list[Served]:
        """The version that answers, of every model that has one, by name."""
        return [shelf.served[0] for _, shelf in self.shelves() if shelf.served]

    def waits_for(self) -> list[str]:
        """What is missing before this server is ready.

        With names: the models that have no champion yet. Without: the first look into the bucket; it is ready then,
        even if there was nothing, and a model that appears later does not take that back.
        """
        if self._by_name:
            return [name for name, shelf in self.shelves() if not shelf.served]
        return [] if self._looked else ["the first look into the bucket"]

    def looked(self) -> None:
        """Says that every model that the bucket holds was tried once."""
        self._looked = True

    def served(self, model: str) -> tuple[Served, ...]:
        """What is loaded of a model, the champion first; empty for an unknown one."""
        return self._shelves.get(model, Shelf()).served

    def kept(self, model: str, manifest_sha256: str) -> Served | None:
        """A version that is still loaded, so that a rollback to it costs nothing."""
        loaded = self._shelves.get(model, Shelf()).loaded
        return next((each for each in loaded if each.manifest_sha256 == manifest_sha256), None)

    def install(self, champion: Served) -> None:
        """Makes a version the one that answers; the last two before it stay addressable."""
        shelf = self._shelves.get(champion.model, Shelf())
        earlier = tuple(each for each in shelf.served if each.version != champion.version)
        self._put(champion.model, replace(shelf, served=(champion, *earlier[:_EARLIER_KEPT])))

    def pin(self, served: Served) -> None:
        """Keeps a version at hand, whoever is champion."""
        shelf = self._shelves.get(served.model, Shelf())
        others = tuple(each for each in shelf.pinned if each.version != served.version)
        self._put(served.model, replace(shelf, pinned=(*others, served)))

    def share(self, model: str, canary: Part | None, shadow: Part | None) -> None:
        """Says who shares in the champion's requests."""
        self._put(model, replace(self._shelves.get(model, Shelf()), canary=canary, shadow=shadow))

    def refuse(self, model: str, reason: str) -> None:
        """Notes that a version was found bad; whatever answered before goes on answering."""
        shelf = self._shelves.get(model, Shelf())
        self._put(model, replace(shelf, refused=shelf.refused + 1, last_refusal=reason))

    def note_journal(self, model: str, entries: Sequence[JournalEntry]) -> None:
        """Keeps the newest entries of a model's journal, for people to look at."""
        shelf = self._shelves.get(model, Shelf())
        self._put(model, replace(shelf, journal=tuple(entries[-_ENTRIES_KEPT:])))

    def _put(self, model: str, shelf: Shelf) -> None:
        self._shelves = {**self._shelves, model: shelf}


def place_of(model: str, key: bytes) -> float:
    """Where a caller falls, from 0 to 1: a canary that grows takes in others and lets nobody go.

    >>> place_of("digits", b"alice") == place_of("digits", b"alice")
    True
    """
    if not key:
        return random.random()  # noqa: S311 - no secret
    digest = blake2b(model.encode() + b"\0" + key, digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def only(shelves: Sequence[tuple[str, Shelf]]) -> str:
    """The model that is meant when none is named.

    Raises:
        Refusal: 400 if there are several, 503 if there is none yet.
    """
    if not shelves:
        message = "no model is loaded yet, but one must be: publish one, or try again in a second"
        raise Refusal("not_ready", message, status=503, headers=((b"retry-after", b"1"),))
    if len(shelves) > 1:
        known = ", ".join(name for name, _ in shelves[:20])
        message = f"the model is not named, but must be: POST to /invocations/NAME, where NAME is one of {known}"
        raise Refusal("missing_model", message)
    return shelves[0][0]
