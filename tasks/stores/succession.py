"""How a version becomes champion: the journal first, then the pointer, then MLflow's alias.

The commit is one write. Whatever dies after it leaves a pointer or an alias that lags, and whoever comes next lets them
follow: the next promotion, the next run of the same recipe, the reconciler.
"""

from contextlib import suppress
from typing import Literal

from tasks.contracts.errors import ConflictError, InputError, IntegrityError
from tasks.contracts.manifest import JournalEntry, Manifest
from tasks.stores import registry
from tasks.stores.failpoints import failpoint
from tasks.stores.journal import Journal

TRIES = 20


def crown(
    journal: Journal,
    action: Literal["promote", "rollback"],
    publication: JournalEntry,
    *,
    actor: str,
    reason: str,
    instead_of: JournalEntry | Literal["any"] | None = "any",
) -> JournalEntry:
    """Makes a published version champion, and lets pointer and alias follow; once, however often it is called.

    Args:
        journal: Of the model.
        action: What it is called in the journal.
        publication: The entry that published the version.
        actor: Who wants it.
        reason: Why.
        instead_of: Whom it is to follow; None if there must be no champion.

    Returns:
        The entry that makes it champion.

    Raises:
        ConflictError: somebody else is champion by now than `instead_of`.
        UnavailableError: a server does not answer; what was committed stands, and the same call ends it.
    """
    entry = commit(journal, action, publication, actor=actor, reason=reason, instead_of=instead_of)
    with suppress(InputError):  # MLflow lost the version: that is told by the reconciler, and keeps nobody from serving
        settle_alias(journal)
    return entry


def commit(
    journal: Journal,
    action: Literal["promote", "rollback"],
    publication: JournalEntry,
    *,
    actor: str,
    reason: str,
    instead_of: JournalEntry | Literal["any"] | None = "any",
) -> JournalEntry:
    """As `crown`, without MLflow: what serving follows.

    Raises:
        ConflictError: somebody else is champion by now than `instead_of`.
    """
    entry = journal.append(
        action=action,
        version=publication.version,
        manifest=publication.manifest,
        run_key=publication.run_key,
        actor=actor,
        reason=reason,
        instead_of=instead_of,
    )
    journal.move_pointer(entry)
    return entry


def settle(journal: Journal) -> JournalEntry | None:
    """Lets pointer and alias say what the journal says, and renews the pointer; the champion's entry.

    It is always renewed: an earlier one that somebody put back is refused by servers, though it names the same entry.
    """
    champion = journal.champion()
    if champion is not None:
        journal.move_pointer(champion, renew=True)
        with suppress(InputError):
            settle_alias(journal)
    return champion


def settle_alias(journal: Journal) -> None:
    """Lets MLflow's alias say what the journal says, also where several try at once.

    Whoever writes the alias reads the journal again afterwards, so the last writer wrote the newest champion.

    Raises:
        InputError: MLflow has no such version: its registry must be rebuilt.
        UnavailableError: MLflow does not answer.
        ConflictError: champions follow one another faster than aliases are written.
    """
    if journal.champion() is None:
        return
    with registry.moving(journal.model):
        _follow(journal)


def _follow(journal: Journal) -> None:
    for _ in range(TRIES):
        champion = journal.champion()
        if champion is None:
            return
        failpoint(f"{champion.action}.before_alias")
        registry.set_champion(journal.model, champion.version, champion.seq)
        failpoint(f"{champion.action}.after_alias")
        if journal.champion() == champion:
            return
    raise ConflictError(f"champion of {journal.model!r} moved {TRIES} times meanwhile: run `ingot registry reconcile`")


def check_fit(journal: Journal, publication: JournalEntry) -> Manifest:
    """The manifest of a version that may become champion: it verifies, its gate passed, and its files stand.

    Raises:
        IntegrityError: the manifest or a file is gone or broken.
        InputError: its gate did not pass.
    """
    manifest = journal.get_manifest(publication.manifest)
    if not manifest.gate.passed:
        raise InputError(
            f"version {publication.version} of {journal.model!r} failed its gate ({manifest.gate.reason}), but a "
            "champion must pass: publish a better one"
        )
    check_whole(journal, manifest, publication.version)
    return manifest


def check_whole(journal: Journal, manifest: Manifest, version: str) -> None:
    """Refuses a version whose files do not all stand.

    Raises:
        IntegrityError: the message names them.
    """
    gone = [file.path for file in manifest.files if not journal.store.holds(file.artifact)]
    if gone:
        raise IntegrityError(
            f"version {version} of {journal.model!r} has lost {', '.join(gone)}, but must be whole: restore "
            f"{journal.store.uri('blobs/')}, or take another version"
        )
