"""The routing of a model: one signed record, replaced by whoever read it last."""

from tasks.contracts.errors import ConflictError
from tasks.contracts.routing import ROUTING_TYPE, Routing, Share
from tasks.stores.s3 import Store, Versioned
from tasks.stores.signing import Keyring

TRIES = 20


class Routes:
    """Reads and changes the routing of one model.

    Args:
        store: Where it lies.
        model: Its name.
        keyring: Who signs and who is trusted; by default what the environment says.
    """

    def __init__(self, store: Store, model: str, keyring: Keyring | None = None) -> None:
        self._store = store
        self._keyring = keyring or Keyring.from_environment()
        self._key = f"models/{model}/routing.json"
        self.place = store.uri(self._key)
        """Its address."""

    def envelope(self) -> Versioned[bytes] | None:
        """What stands there, unread."""
        return self._store.read(self._key)

    def open(self, envelope: bytes) -> Routing:
        """The routing in an envelope.

        Raises:
            IntegrityError: it is broken, or signed by nobody who is trusted.
        """
        return self._keyring.unseal_record(Routing, envelope, ROUTING_TYPE, self.place)

    def read(self) -> Routing:
        """The routing as it stands; the champion alone if none was ever written."""
        found = self.envelope()
        return Routing(seq=0) if found is None else self.open(found.content)

    def change(self, **parts: Share | None) -> Routing:
        """Gives `canary`, `shadow` or both another share; what is not named stays.

        Raises:
            ConflictError: others changed it all the while.
        """
        for _ in range(TRIES):
            found = self.envelope()
            standing = Routing(seq=0) if found is None else self.open(found.content)
            wanted = standing.model_copy(update={"seq": standing.seq + 1, **parts})
            envelope = self._keyring.seal_record(wanted, ROUTING_TYPE)
            if self._store.replace(self._key, envelope, found.etag if found else None):
                return wanted
        raise ConflictError(f"{self.place} was changed {TRIES} times meanwhile: try again")
