"""Challengers that were not promoted, so that nobody asks again: the same question is not decided twice.

A promotion stands in the journal; that one was refused stands here, under the version and the rule that was applied.
"""

from tasks.contracts.config import PromoteConfig
from tasks.contracts.manifest import DECLINED_TYPE, Declined
from tasks.contracts.record import canonical_json, sha256_hex
from tasks.stores.journal import Journal
from tasks.stores.signing import Keyring


def find_declined(journal: Journal, manifest: str, rule: PromoteConfig) -> Declined | None:
    """The refusal of a challenger under a rule, if it was refused before.

    Raises:
        IntegrityError: it cannot be read.
    """
    key = _key(journal.model, manifest, rule)
    found = journal.store.read(key)
    if found is None:
        return None
    keyring = Keyring.from_environment()
    return keyring.unseal_record(Declined, found.content, DECLINED_TYPE, journal.store.uri(key))


def decline(journal: Journal, declined: Declined, rule: PromoteConfig) -> None:
    """Writes a refusal down; the first one counts."""
    key = _key(journal.model, declined.manifest, rule)
    journal.store.create(key, Keyring.from_environment().seal_record(declined, DECLINED_TYPE))


def _key(model: str, manifest: str, rule: PromoteConfig) -> str:
    rule_digest = sha256_hex(canonical_json(rule.model_dump(mode="json")))
    return f"models/{model}/declined/{manifest}-{rule_digest[:16]}.json"
