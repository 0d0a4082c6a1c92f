"""The list of API keys in the store: one signed object, replaced by one writer at a time."""

import secrets
from collections.abc import Callable

from tasks.contracts.access import KEYS_TYPE, MOST_KEYS, ApiKey, KeyList, digest_of, now
from tasks.contracts.errors import ConflictError, InputError, unknown_name
from tasks.stores.s3 import Store, Versioned
from tasks.stores.signing import Keyring

PLACE = "access/keys.json"
TRIES = 100
"""Changes are tried so often: each one lost means that somebody else's went through."""

Change = Callable[[tuple[ApiKey, ...]], tuple[ApiKey, ...]]


class Keys:
    """The API keys of one store. Threads and processes may change them at once.

    Args:
        store: Where the list lies.
        keyring: Who signs and who is trusted; by default what the environment says.
    """

    def __init__(self, store: Store, keyring: Keyring | None = None) -> None:
        self._store = store
        self._keyring = keyring or Keyring.from_environment()

    def list(self) -> tuple[ApiKey, ...]:
        """All keys, revoked ones too, in the order in which they were made."""
        found = self.read()
        return () if found is None else self.unsealed(found.content).keys

    def add(
        self,
        name: str,
        *,
        models: tuple[str, ...] = (),
        rate_per_second: float = 0.0,
        daily: int = 0,
        expires_at: str = "",
    ) -> tuple[ApiKey, str]:
        """Makes a key.

        Returns:
            The key, and its token, which is kept nowhere.

        Raises:
            InputError: there are 10,000 keys.
            IntegrityError: the list that stands is broken or not signed by somebody trusted.
        """
        made: list[tuple[ApiKey, str]] = []

        def change(keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
            if len(keys) >= MOST_KEYS:
                raise InputError(f"there are {len(keys)} API keys, but may be {MOST_KEYS}: use another INGOT_PREFIX")
            identity = _fresh({key.id for key in keys})
            token = f"ingot_{identity}_{secrets.token_urlsafe(32)}"
            key = ApiKey(
                id=identity,
                name=name,
                sha256=digest_of(token),
                models=models,
                rate_per_second=rate_per_second,
                daily=daily,
                created_at=now().isoformat(),
                expires_at=expires_at,
            )
            made[:] = [(key, token)]
            return (*keys, key)

        self._change(change)
        return made[0]

    def revoke(self, identity: str) -> ApiKey:
        """Ends a key; that it has ended already is fine.

        Raises:
            InputError: there is no such key.
        """

        def change(keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
            if identity not in {key.id for key in keys}:
                raise InputError(unknown_name("key", identity, [key.id for key in keys]))
            return tuple(_revoked(key) if key.id == identity else key for key in keys)

        return next(key for key in self._change(change) if key.id == identity)

    def read(self) -> Versioned[bytes] | None:
        """The envelope as it stands, unopened."""
        return self._store.read(PLACE)

    def unsealed(self, envelope: bytes) -> KeyList:
        """The list in an envelope.

        Raises:
            IntegrityError: it is broken, or not signed by somebody trusted.
        """
        return self._keyring.unseal_record(KeyList, envelope, KEYS_TYPE, self.uri)

    @property
    def uri(self) -> str:
        """Where the list lies."""
        return self._store.uri(PLACE)

    def _change(self, change: Change) -> tuple[ApiKey, ...]:
        for _ in range(TRIES):
            found = self.read()
            before = None if found is None else self.unsealed(found.content)
            keys = before.keys if before else ()
            after = change(keys)
            if after == keys:
                return keys
            changed = KeyList(seq=before.seq + 1 if before else 1, keys=after)
            envelope = self._keyring.seal_record(changed, KEYS_TYPE)
            if self._store.replace(PLACE, envelope, found.etag if found else None):
                return after
        raise ConflictError(f"{self.uri} was changed {TRIES} times meanwhile: try again")


def _fresh(taken: set[str]) -> str:
    while (identity := secrets.token_hex(4)) in taken:
        pass
    return identity


def _revoked(key: ApiKey) -> ApiKey:
    return key if key.revoked_at else key.model_copy(update={"revoked_at": now().isoformat()})
