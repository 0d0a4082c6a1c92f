"""Challengers that were not promoted, so that nobody asks again: the same question is not decided twice.

A promotion stands in the journal; that one was refused stands here, under the version, the champion it was held
against, and the rule that was applied.
"""

from tasks.contracts.config import PromoteConfig
from tasks.contracts.errors import IntegrityError
from tasks.contracts.manifest import DECLINED_TYPE, Declined, JournalEntry
from tasks.contracts.record import canonical_json, sha256_hex
from tasks.stores.journal import Journal
from tasks.stores.signing import Keyring


def find_declined(
    journal: Journal, publication: JournalEntry, standing: JournalEntry | None, rule: PromoteConfig
) -> Declined | None:
    """The refusal of a challenger under a rule, if it was refused before against the present champion.

    Raises:
        IntegrityError: it cannot be read, or is that of another contest.
    """
    champion = standing.manifest if standing else ""
    key = _key(journal.model, publication.manifest, champion, rule)
    found = journal.store.read(key)
    if found is None:
        return None
    place = journal.store.uri(key)
    declined = Keyring.from_environment().unseal_record(Declined, found.content, DECLINED_TYPE, place)
    if (declined.manifest, declined.champion) != (publication.manifest, champion):
        raise IntegrityError(f"{place} is of another contest, but must be of this one: delete it")
    return declined


def decline(journal: Journal, declined: Declined, rule: PromoteConfig) -> None:
    """Writes a refusal down; the first one counts."""
    key = _key(journal.model, declined.manifest, declined.champion, rule)
    journal.store.create(key, Keyring.from_environment().seal_record(declined, DECLINED_TYPE))


def _key(model: str, manifest: str, champion: str, rule: PromoteConfig) -> str:
    question = sha256_hex(canonical_json([champion, rule.model_dump(mode="json")]))
    return f"models/{model}/declined/{manifest}-{question[:16]}.json"
