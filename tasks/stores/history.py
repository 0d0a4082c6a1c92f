"""Questions to a journal: which entry published a version, who was champion before, and who at a time."""

from datetime import datetime

from tasks.contracts.errors import InputError, IntegrityError, unknown_name
from tasks.contracts.manifest import JournalEntry
from tasks.stores.journal import Journal


def publication_of(journal: Journal, version: str, called: str = "") -> JournalEntry:
    """The entry that published a version.

    Args:
        journal: Of the model.
        version: Its number.
        called: What it is called in the message; by default a version of that model.

    Raises:
        InputError: there is no such version.
    """
    published = {entry.version: entry for entry in journal.entries() if entry.action == "publish"}
    if version not in published:
        raise InputError(unknown_name(called or f"version of {journal.model}", version, published))
    return published[version]


def predecessor(journal: Journal) -> JournalEntry:
    """The publication that a rollback brings back: rolling back twice undoes two promotions, and never redoes one.

    A rollback that was cut off before its pointer moved is brought to its end instead: that one is named again.

    Raises:
        InputError: there was none.
    """
    champions = _champions(journal)
    if champions and champions[-1].action == "rollback" and _pointer_lags(journal, champions[-1]):
        return _publication(journal, champions[-1])
    undone: list[JournalEntry] = []
    for entry in champions:
        if entry.action == "rollback" and any(each.manifest == entry.manifest for each in undone):
            while undone[-1].manifest != entry.manifest:
                undone.pop()
        else:
            undone.append(entry)
    earlier = [entry for entry in undone if entry.manifest != undone[-1].manifest]
    if not earlier:
        raise InputError(f"model {journal.model!r} had no other champion before, but a rollback needs one: name --to V")
    return _publication(journal, earlier[-1])


def _pointer_lags(journal: Journal, champion: JournalEntry) -> bool:
    try:
        pointer = journal.pointer()
    except IntegrityError:
        return True
    return pointer is None or pointer.seq < champion.seq


def champion_at(journal: Journal, time: datetime) -> JournalEntry:
    """The publication of who was champion at a time.

    Args:
        journal: Of the model.
        time: With its time zone.

    Raises:
        InputError: there was no champion yet.
    """
    champions = _champions(journal)
    then = [entry for entry in champions if datetime.fromisoformat(entry.time) <= time]
    if not then:
        first = f": the first came at {champions[0].time}" if champions else ""
        raise InputError(f"model {journal.model!r} had no champion at {time.isoformat()}, but must have had one{first}")
    return _publication(journal, then[-1])


def _publication(journal: Journal, entry: JournalEntry) -> JournalEntry:
    return next(e for e in journal.entries() if e.action == "publish" and e.manifest == entry.manifest)


def _champions(journal: Journal) -> list[JournalEntry]:
    return [entry for entry in journal.entries() if entry.action != "publish"]
