"""The key list as the event loop needs it: frozen, and looked up by digest."""

from collections.abc import Mapping
from dataclasses import dataclass

from deployments.serving.access.allowances import Allowance
from deployments.serving.access.caller import Caller
from tasks.contracts.access import ApiKey, KeyList


@dataclass(frozen=True, slots=True)
class Holder:
    """One key, ready to be asked about."""

    caller: Caller
    expires: float
    """Seconds since the epoch."""
    revoked: bool
    allowance: Allowance | None
    """None for a key without limits."""


@dataclass(frozen=True, slots=True)
class Roster:
    """One state of the list; 0 and nobody if the store holds none."""

    seq: int
    holders: Mapping[bytes, Holder]

    @classmethod
    def of(cls, keys: KeyList, allowances: Mapping[str, Allowance | None]) -> "Roster":
        """Makes it.

        Args:
            keys: The list.
            allowances: For each key's id.
        """
        return cls(keys.seq, {bytes.fromhex(key.sha256): _holder(key, allowances[key.id]) for key in keys.keys})


NO_KEYS = Roster(0, {})


def _holder(key: ApiKey, allowance: Allowance | None) -> Holder:
    caller = Caller(key.id, key.name, audited=True, models=frozenset(key.models))
    return Holder(caller, key.expires, bool(key.revoked_at), allowance)
