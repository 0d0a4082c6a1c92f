"""All of access for one serving process: opened once it is forked, closed when its last request is answered."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from deployments.serving.access.allowances import Allowances
from deployments.serving.access.audit import AuditLog
from deployments.serving.access.books import Books
from deployments.serving.access.door import Door
from deployments.serving.access.follower import KeyFollower
from deployments.serving.access.usage import DATABASE, Usage
from deployments.serving.background import running
from deployments.serving.settings import Settings
from tasks.contracts.errors import ConfigError
from tasks.stores.access import Keys
from tasks.stores.s3 import Store
from tasks.stores.s3.connection import is_loopback
from tasks.stores.signing import Keyring

log = logging.getLogger("ingot.serving")

_LAST_POLL_SECONDS = 2


@contextmanager
def guarded(store: Store, settings: Settings, host: str, keyring: Keyring | None = None) -> Iterator[Door]:
    """The door of a process, with the threads behind it; whatever is in memory is written when it closes.

    Several processes may share the state folder, and together keep to rates and quotas.

    Args:
        store: Where the list of keys lies.
        settings: What the environment says.
        host: The interface that is listened on.
        keyring: Whose signature under the list counts; by default what the environment says.

    Raises:
        ConfigError: The state folder cannot be used, or there is no key and the interface is not loopback.
    """
    state = _prepared(settings.state)
    usage = Usage(state / DATABASE)
    usage.prepare()
    allowances = Allowances(state / "allowances")
    audit = AuditLog(state / "audit") if settings.audit else None
    books = Books(usage, audit)
    door = Door(allowances, books, anonymous=settings.anonymous or is_loopback(host))
    follower = KeyFollower(Keys(store, keyring), door, allowances, usage)
    try:
        with running(books.run, "books"):
            follower.look()
            _refuse_open_door(door, host)
            follow = partial(follower.run, poll_seconds=settings.poll_seconds)
            with running(follow, "keys", _LAST_POLL_SECONDS):
                yield door
    finally:
        _shut(audit)
        allowances.close()


def _shut(audit: AuditLog | None) -> None:
    try:
        if audit is not None:
            audit.close()
    except OSError as error:
        log.error("the end of the audit log could not be written: %s", error)


def _refuse_open_door(door: Door, host: str) -> None:
    if door.is_shut_for_want_of_keys:
        raise ConfigError(
            f"there is no API key, but must be one to listen on {host or 'every interface'}: make one with "
            "`ingot keys add NAME`, or set INGOT_SERVING_ANONYMOUS=1 to answer everybody"
        )


def _prepared(state: Path) -> Path:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.chmod(0o700)
    except OSError as error:
        raise ConfigError(
            f"INGOT_SERVING_STATE is {state}, but must be a folder of yours: {error.strerror or error}"
        ) from error
    return state
