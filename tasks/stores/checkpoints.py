"""Where a training keeps its checkpoints: a folder on this machine, and now and then a copy in the store.

The folder holds the last epoch, whatever happens to the process; the copy lets another machine take over. Both are
named by the key of the step's result, and are deleted once that result stands. Copies share no blob with anything else,
so that each can be deleted when the next one stands.
"""

import os
import shutil
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tasks.contracts.artifacts import Artifact
from tasks.contracts.errors import IngotError, UnavailableError
from tasks.stores.failpoints import failpoint
from tasks.stores.s3 import Store

NAME = "last.safetensors"
RECORD = "last.json"
"""Which copy is the last."""
EVERY_SECONDS = 15.0
"""Between two copies: another machine repeats at most so much, or an epoch."""


def folder_of(key: str) -> Path:
    """The folder of a step's checkpoints on this machine."""
    return Path(os.environ.get("INGOT_HOME", ".ingot")) / "checkpoints" / key


def restore(store: Store, key: str) -> None:
    """Fetches the copy in the store where this machine has no checkpoint of its own.

    Raises:
        UnavailableError: nobody can tell whether there is one.
    """
    path = folder_of(key) / NAME
    if path.exists():
        return
    place = _place(store, key)
    found = place.read(RECORD)
    if found is None:
        return
    try:
        place.fetch(Artifact.model_validate_json(found.content), path)
    except UnavailableError:
        raise
    except (IngotError, ValueError):  # a copy that is gone or broken: the training begins again
        return


def forget(store: Store, key: str) -> None:
    """Deletes the checkpoints of a step whose result stands."""
    shutil.rmtree(folder_of(key), ignore_errors=True)
    _sweep(_place(store, key))


class Checkpoints:
    """The checkpoints of one training: where they lie, and the thread that copies the last of them into the store.

    Call it after each epoch; it copies at most every 15 seconds, and training waits for no server: one that is away
    costs copies only. Without a key it keeps none.

    Args:
        store: Where copies go.
        key: Of the step's result.
        every_seconds: Least time between two copies.
    """

    def __init__(self, store: Store, key: str, every_seconds: float = EVERY_SECONDS) -> None:
        self.folder = folder_of(key) if key else None
        """Where the loop keeps them."""
        self._store, self._key, self._every = store, key, every_seconds
        self._next = time.monotonic() + every_seconds
        self._thread: threading.Thread | None = None

    def __call__(self, _epoch: object = None) -> None:
        """Copies what stands, if it is time and no copy is under way."""
        failpoint("training.after_epoch")
        if not self._key or time.monotonic() < self._next or (self._thread and self._thread.is_alive()):
            return
        self._next = time.monotonic() + self._every
        self._thread = threading.Thread(target=self._copy, name="checkpoint-copy", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        if self._key:
            restore(self._store, self._key)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread:
            self._thread.join()

    def _copy(self) -> None:
        place = _place(self._store, self._key)
        try:
            copy = place.put_file(folder_of(self._key) / NAME)
            standing = place.read(RECORD)
            place.replace(RECORD, copy.to_bytes(), standing.etag if standing else None)
            _sweep(place, copy)
        except IngotError:  # away, or the file was replaced meanwhile: there will be another epoch
            return


def _place(store: Store, key: str) -> Store:
    """The part of the store that holds nothing but the copies of one training."""
    return store.part(f"checkpoints/{key}/")


def _sweep(place: Store, copy: Artifact | None = None) -> None:
    """Deletes all copies but one."""
    kept = {RECORD, *copy.chunks} if copy else set()
    for key in list(place.keys("")):
        if key.rpartition("/")[2] not in kept:
            place.delete(key)
