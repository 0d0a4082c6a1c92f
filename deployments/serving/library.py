"""The versions that may answer now. One thread writes it, requests read it, and nobody waits for a lock.

Every change swaps one reference to a frozen whole. A request looks its version up once and keeps it to its end, so a
swap never reaches into a request in flight; the old session goes when its last request has gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deployments.serving.refusal import Refusal, clipped
from tasks.contracts.errors import unknown_name
from tasks.contracts.manifest import Manifest
from tasks.runtime.session import Session

_EARLIER_KEPT = 2


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


@dataclass(frozen=True, slots=True)
class Shelf:
    """All that is known of one followed model; `served` begins with the champion and is empty until one is loaded."""

    served: tuple[Served, ...] = ()
    refused: int = 0
    """Versions that were found bad since the process started."""
    last_refusal: str = ""


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
        for served in shelf.served:
            if served.version == version:
                return served
        known = [served.version for served in shelf.served]
        raise Refusal("unknown_version", unknown_name("version", clipped(version), known), status=404)

    def only(self) -> str:
        """The model that is meant when none is named.

        Raises:
            Refusal: 400 if there are several, 503 if there is none yet.
        """
        names = sorted(self._shelves)
        if not names:
            message = "no model is loaded yet, but one must be: publish one, or try again in a second"
            raise Refusal("not_ready", message, status=503, headers=((b"retry-after", b"1"),))
        if len(names) > 1:
            known = ", ".join(names[:20])
            message = f"the model is not named, but must be: POST to /invocations/NAME, where NAME is one of {known}"
            raise Refusal("missing_model", message)
        return names[0]

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
        return next((each for each in self.served(model) if each.manifest_sha256 == manifest_sha256), None)

    def install(self, champion: Served) -> None:
        """Makes a version the one that answers; the last two before it stay addressable."""
        shelf = self._shelves.get(champion.model, Shelf())
        earlier = tuple(each for each in shelf.served if each.version != champion.version)
        self._put(champion.model, replace(shelf, served=(champion, *earlier[:_EARLIER_KEPT])))

    def refuse(self, model: str, reason: str) -> None:
        """Notes that a version was found bad; whatever answered before goes on answering."""
        shelf = self._shelves.get(model, Shelf())
        self._put(model, replace(shelf, refused=shelf.refused + 1, last_refusal=reason))

    def _put(self, model: str, shelf: Shelf) -> None:
        self._shelves = {**self._shelves, model: shelf}
