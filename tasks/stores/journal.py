"""The history of a model: what was published, promoted and rolled back, by whom and why.

The journal is the truth. Entry n+1 is committed by creating `journal/<n+1>`, which one writer can do; whoever loses
reads on and tries the next place. The pointer `aliases/champion.json` is a hint that may lag and never leads.
"""

import os
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal

from tasks.contracts.errors import ConfigError, ConflictError, InputError, IntegrityError
from tasks.contracts.manifest import MANIFEST_TYPE, POINTER_TYPE, JournalEntry, Manifest, Pointer
from tasks.contracts.record import sha256_hex
from tasks.stores.chain import Chain
from tasks.stores.failpoints import failpoint
from tasks.stores.s3 import Store, Versioned
from tasks.stores.signing import Keyring

Action = Literal["publish", "promote", "rollback"]

TRIES = 100
"""Places an append tries for: each one lost means that somebody else's entry went through."""


class Journal:
    """The history of one model in one store. Threads may share it.

    Args:
        store: Where it lies.
        model: Its name.
        keyring: Who signs and who is trusted; by default what the environment says.
    """

    def __init__(self, store: Store, model: str, keyring: Keyring | None = None) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", model):
            raise InputError(f"model is {model!r}, but must match [a-z0-9][a-z0-9_-]{{0,62}}: name it otherwise")
        self.store = store
        self.model = model
        self._keyring = keyring or Keyring.from_environment()
        self._chain = Chain(store, f"models/{model}/journal/", self._keyring)
        self._pointer_key = f"models/{model}/aliases/champion.json"

    def entries(self) -> list[JournalEntry]:
        """All entries as they stand now, oldest first.

        Raises:
            IntegrityError: an entry is missing, unreadable, or does not name the one before it.
        """
        return self._chain.read()[0]

    def last(self) -> JournalEntry | None:
        """The newest entry."""
        return _newest(self.entries(), lambda entry: True)

    def find(self, action: Action, run_key: str) -> JournalEntry | None:
        """The newest entry of that action and result."""
        return _newest(self.entries(), lambda entry: entry.action == action and entry.run_key == run_key)

    def champion(self) -> JournalEntry | None:
        """The entry that made the present champion: the newest promotion or rollback."""
        return _newest(self.entries(), _moves_champion)

    def append(
        self,
        *,
        action: Action,
        version: str,
        manifest: str,
        run_key: str,
        actor: str,
        reason: str,
        instead_of: JournalEntry | Literal["any"] | None = "any",
    ) -> JournalEntry:
        """Commits an entry, once: if it holds already, nothing is written and the entry that says so is returned.

        A publication holds if its run_key was published (perhaps with another manifest: the returned entry counts);
        a promotion or rollback holds if its manifest is champion. So a call whose answer was lost can be repeated.

        Args:
            action: What happened.
            version: The number of the version.
            manifest: The digest of its manifest.
            run_key: What the result is called.
            actor: Who wants it.
            reason: Why.
            instead_of: The entry that must have made the present champion when this one is committed; None if there
                must be no champion.

        Raises:
            ConflictError: somebody else is champion by now than `instead_of`.
            InputError: a promotion or rollback names a manifest that was never published, or a publication a version
                that another result bears.
            UnavailableError: nobody answers; repeat the call.
        """
        for _ in range(TRIES):
            entries, head = self._chain.read()
            standing = _standing(entries, action, manifest, run_key)
            if standing is not None:
                return standing
            _check_place(entries, action, version, instead_of)
            entry = JournalEntry(
                seq=len(entries) + 1,
                previous_sha256=head,
                action=action,
                version=version,
                manifest=manifest,
                run_key=run_key,
                actor=actor,
                reason=reason,
                time=datetime.now(UTC).isoformat(),
            )
            failpoint(f"{action}.before_commit")
            if self._chain.add(entry):
                failpoint(f"{action}.after_commit")
                return entry
        raise ConflictError(f"journal of {self.model!r} was taken {TRIES} times, but one place is needed: try again")

    def put_manifest(self, manifest: Manifest) -> tuple[str, str]:
        """Stores a manifest under its digest; that it stands already is fine.

        Returns:
            Its address and its SHA-256.
        """
        digest = manifest.digest
        if not self.store.create(self._manifest_key(digest), self._keyring.seal_record(manifest, MANIFEST_TYPE)):
            self.get_manifest(digest)  # in another envelope perhaps, but it must be this one
        return self.manifest_uri(digest), digest

    def get_manifest(self, sha256: str) -> Manifest:
        """The manifest of that digest, verified.

        Raises:
            IntegrityError: it is missing, is not what its name says, or belongs to another model.
        """
        place = self.manifest_uri(sha256)
        found = self.store.read(self._manifest_key(sha256))
        if found is None:
            raise IntegrityError(f"{place} is missing, but is named as a manifest: restore it")
        if sha256_hex(self._keyring.unseal(found.content, MANIFEST_TYPE)) != sha256:
            raise IntegrityError(f"{place} holds other bytes than its name says: restore it")
        manifest = self._keyring.unseal_record(Manifest, found.content, MANIFEST_TYPE, place)
        if manifest.model != self.model:
            raise IntegrityError(f"{place} is of model {manifest.model!r}, but must be of {self.model!r}: restore it")
        return manifest

    def manifest_uri(self, sha256: str) -> str:
        """The `s3://` address of the manifest of that digest."""
        return self.store.uri(self._manifest_key(sha256))

    def pointer(self) -> Pointer | None:
        """Where `champion` points: a hint that may lag behind the journal.

        Raises:
            IntegrityError: it cannot be read.
        """
        found = self.store.read(self._pointer_key)
        return None if found is None else self._pointer_in(found.content)

    def move_pointer(self, entry: JournalEntry, *, renew: bool = False) -> Pointer:
        """Points `champion` at a committed promotion or rollback; never backwards, never ahead of the journal.

        An unreadable pointer is replaced: the journal says what it must be. One that points there already is renewed
        in the second half of its life. None is made to expire earlier.

        Args:
            entry: What it shall point at.
            renew: Renew it in the first half of its life too.

        Returns:
            The pointer that stands now, which may be a later one.

        Raises:
            InputError: the entry publishes, but moves no champion.
            ConflictError: the entry is not in the journal.
            IntegrityError: the pointer is ahead of the journal.
        """
        self._check_committed(entry)
        expires = (datetime.now(UTC) + lifetime()).isoformat(timespec="seconds")
        wanted = Pointer(seq=entry.seq, version=entry.version, manifest=entry.manifest, expires=expires)
        failpoint(f"{entry.action}.before_pointer")
        for _ in range(TRIES):
            found = self.store.read(self._pointer_key)
            standing = self._later_pointer(found, wanted, renew=renew)
            if standing is not None:
                return standing
            envelope = self._keyring.seal_record(wanted, POINTER_TYPE)
            if self.store.replace(self._pointer_key, envelope, found.etag if found else None):
                failpoint(f"{entry.action}.after_pointer")
                return wanted
        raise ConflictError(f"pointer of {self.model!r} was moved {TRIES} times meanwhile: try again")

    def _check_committed(self, entry: JournalEntry) -> None:
        if not _moves_champion(entry):
            raise InputError(f"entry {entry.seq} is a {entry.action}, but must be a promotion or rollback: append one")
        if entry not in self.entries()[entry.seq - 1 : entry.seq]:
            raise ConflictError(f"entry {entry.seq} is not in the journal of {self.model!r}: append it first")

    def _later_pointer(self, found: Versioned[bytes] | None, wanted: Pointer, *, renew: bool) -> Pointer | None:
        """The pointer that stands, if it is readable, at least as late, and need not be renewed."""
        try:
            standing = None if found is None else self._pointer_in(found.content)
        except IntegrityError:
            return None
        if standing is None or standing.seq < wanted.seq:
            return None
        if standing.seq == wanted.seq and standing.expires < wanted.expires and (renew or _is_old(standing)):
            return None
        entries = self.entries()
        if standing.seq > len(entries):
            raise IntegrityError(
                f"{self.store.uri(self._pointer_key)} names entry {standing.seq}, but the journal ends before it: "
                "restore the journal"
            )
        named = entries[standing.seq - 1]
        if (named.version, named.manifest) != (standing.version, standing.manifest) or not _moves_champion(named):
            raise IntegrityError(
                f"{self.store.uri(self._pointer_key)} names version {standing.version} at entry {standing.seq}, but "
                "the journal does not: an older journal was put in its place, restore it"
            )
        return standing

    def _pointer_in(self, envelope: bytes) -> Pointer:
        return self._keyring.unseal_record(Pointer, envelope, POINTER_TYPE, self.store.uri(self._pointer_key))

    def _manifest_key(self, sha256: str) -> str:
        return f"models/{self.model}/manifests/{sha256}.json"


def lifetime() -> timedelta:
    """How long a pointer may be believed: INGOT_POINTER_DAYS, by default 30.

    Raises:
        ConfigError: it is no number of days.
    """
    text = os.environ.get("INGOT_POINTER_DAYS") or "30"
    try:
        days = float(text)
    except ValueError:
        days = float("nan")
    if not 0 < days <= 3650:
        raise ConfigError(f"INGOT_POINTER_DAYS is {text!r}, but must be a number of days up to 3650: unset it for 30")
    return timedelta(days=days)


def _check_place(
    entries: list[JournalEntry], action: Action, version: str, instead_of: JournalEntry | Literal["any"] | None
) -> None:
    """Refuses an entry that was meant for another history."""
    taken = action == "publish" and any(e.action == "publish" and e.version == version for e in entries)
    if taken:
        raise InputError(
            f"version {version} was published before, but a version must be one result: MLflow lost its registry, run "
            "`ingot registry rebuild`, then publish again"
        )
    champion = _newest(entries, _moves_champion)
    if instead_of not in ("any", champion):
        now = f"version {champion.version} (entry {champion.seq})" if champion else "nobody"
        raise ConflictError(
            f"champion is {now} by now, so nothing was changed: look at `ingot journal`, and decide anew"
        )


def _is_old(pointer: Pointer) -> bool:
    return pointer.lasts_seconds(datetime.now(UTC)) < lifetime().total_seconds() / 2


def _moves_champion(entry: JournalEntry) -> bool:
    return entry.action != "publish"


def _newest(entries: Iterable[JournalEntry], wanted: Callable[[JournalEntry], bool]) -> JournalEntry | None:
    return next((entry for entry in reversed(list(entries)) if wanted(entry)), None)


def _standing(entries: list[JournalEntry], action: Action, manifest: str, run_key: str) -> JournalEntry | None:
    """The entry that already says what an append would say."""
    if action == "publish":
        return _newest(entries, lambda entry: entry.action == "publish" and entry.run_key == run_key)
    if not any(entry.action == "publish" and entry.manifest == manifest for entry in entries):
        raise InputError(
            f"manifest {manifest} was never published, but only published ones can be champion: publish it"
        )
    champion = _newest(entries, _moves_champion)
    return champion if champion is not None and champion.manifest == manifest else None
