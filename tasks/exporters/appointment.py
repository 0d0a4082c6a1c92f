"""A person's decision: a published version becomes champion, or an earlier one comes back. The journal says why."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from tasks.contracts.dataset import Dataset, DatasetManifest
from tasks.contracts.errors import InputError, IntegrityError, UnavailableError
from tasks.contracts.manifest import JournalEntry, Manifest
from tasks.exporters.contest import Decision, decide
from tasks.stores.datasets import opened
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store
from tasks.stores.succession import check_fit, commit, settle_alias


@dataclass(frozen=True)
class Appointment:
    """What became of a wish to change the champion."""

    model: str
    version: str
    """The version that was named."""
    champion: bool
    """Whether it is champion now."""
    changed: bool
    """Whether it was not before."""
    seq: int
    """The entry that made the present champion; 0 if there is none."""
    reason: str
    """Why it is as it is."""
    alias_waits: str = ""
    """Why MLflow's alias does not follow yet; empty if it does."""


def promote_version(
    journal: Journal, publication: JournalEntry, *, actor: str, reason: str, margin: float | None = None
) -> Appointment:
    """Makes a version champion.

    Args:
        journal: Of the model.
        publication: The entry that published the version.
        actor: Who wants it.
        reason: Why; empty takes what the contest says.
        margin: If given, it must win the contest against the champion by so much, on its own test split.

    Raises:
        IntegrityError: the version is not whole.
        InputError: its gate did not pass.
        ConflictError: somebody else became champion meanwhile.
    """
    standing = journal.champion()
    if standing is not None and standing.manifest == publication.manifest:
        return _no_change(journal, standing)
    manifest = check_fit(journal, publication)
    if margin is not None:
        decision = contest(journal, manifest, standing, margin)
        if not decision.promoted:
            seq = standing.seq if standing else 0
            return Appointment(journal.model, publication.version, False, False, seq, decision.reason)
        reason = f"{reason} ({decision.reason})" if reason else decision.reason
    return _appoint(journal, "promote", publication, standing, actor, reason or "promoted by hand")


def roll_back(journal: Journal, target: JournalEntry, *, actor: str, reason: str) -> Appointment:
    """Makes a version champion again; errors as `promote_version`.

    Args:
        journal: Of the model.
        target: The entry that published the version.
        actor: Who wants it.
        reason: Why.
    """
    standing = journal.champion()
    if standing is not None and standing.manifest == target.manifest:
        return _no_change(journal, standing)
    check_fit(journal, target)
    return _appoint(journal, "rollback", target, standing, actor, reason or "rolled back by hand")


def contest(journal: Journal, challenger: Manifest, standing: JournalEntry | None, margin: float) -> Decision:
    """Challenger against champion, on the challenger's test split.

    Raises:
        IntegrityError: its dataset is not in this store.
    """
    champion = journal.get_manifest(standing.manifest) if standing else None
    if champion is None:
        return Decision(True, "it is the first champion")
    store = journal.store
    with opened(store, _dataset(store, challenger)) as data:
        rows = data.rows("test")
        return decide("if_better", margin, challenger=challenger, champion=champion, fetch=store.get_bytes, rows=rows)


def _dataset(store: Store, manifest: Manifest) -> Dataset:
    uri = manifest.lineage.dataset_uri
    digest = PurePosixPath(uri).parent.name
    found = store.read(f"datasets/{digest}/dataset.json") if uri.startswith(store.uri("")) else None
    if found is None:
        raise IntegrityError(
            f"dataset {uri or 'of the version'} is not in this store, but its test split decides: promote without "
            "--if-better, or restore it"
        )
    data = DatasetManifest.model_validate_json(found.content)
    return Dataset(uri=uri, sha256=digest, task=data.schema_.task, kind=data.schema_.kind, rows=data.rows)


def _appoint(  # noqa: PLR0917 - one place for both decisions
    journal: Journal,
    action: Literal["promote", "rollback"],
    publication: JournalEntry,
    standing: JournalEntry | None,
    actor: str,
    reason: str,
) -> Appointment:
    entry = commit(journal, action, publication, actor=actor, reason=reason, instead_of=standing)
    waits = _alias_waits(journal)
    return Appointment(journal.model, publication.version, True, True, entry.seq, reason, waits)


def _no_change(journal: Journal, standing: JournalEntry) -> Appointment:
    """Who is champion already stays it; what a cut-off command left is brought to its end."""
    journal.move_pointer(standing)
    waits = _alias_waits(journal)
    reason = f"it has been champion since {standing.time[:19]}"
    return Appointment(journal.model, standing.version, True, False, standing.seq, reason, waits)


def _alias_waits(journal: Journal) -> str:
    """Lets the alias follow; what is committed stands also while MLflow is away."""
    try:
        settle_alias(journal)
    except (UnavailableError, InputError) as error:
        return str(error)
    return ""
