"""The newest pointer of each model that was verified here: written down, so that an older one is refused for ever.

One small file in the state folder, shared by the workers of a server under a lock; a newer note never gives way to an
older one.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from deployments.local.home import write_privately
from tasks.contracts.errors import ConfigError, IntegrityError
from tasks.contracts.manifest import Pointer

_NOTES = TypeAdapter(dict[str, Pointer])


class Seen:
    """What was seen, by the address of the pointer.

    Args:
        folder: The state folder, made when it is missing; None remembers for the life of this object alone.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file = folder / "seen.json" if folder else None
        self._notes: dict[str, Pointer] = {}

    def check(self, place: str, pointer: Pointer) -> None:
        """Refuses a pointer that is older than one that was verified before.

        Raises:
            IntegrityError: it is older, or another one of the same place.
            ConfigError: the notes cannot be read.
        """
        newest = self._read().get(place)
        if newest is None:
            return
        if (pointer.seq, pointer.expires) < (newest.seq, newest.expires):
            raise IntegrityError(
                f"the pointer is at seq {pointer.seq}, valid until {pointer.expires}, but must not be older than seq "
                f"{newest.seq}, {newest.expires}, which was seen before: somebody put an old pointer back"
            )
        if pointer.seq == newest.seq and pointer.manifest != newest.manifest:
            raise IntegrityError(
                f"the pointer at seq {pointer.seq} names manifest {pointer.manifest[:12]}, but named "
                f"{newest.manifest[:12]} before: history was rewritten, restore the journal"
            )

    def note(self, place: str, pointer: Pointer) -> None:
        """Remembers a verified pointer, before it answers.

        Raises:
            ConfigError: it cannot be written down.
        """
        with _locked(self._file):
            notes = self._read()
            newest = notes.get(place)
            if newest is None or (newest.seq, newest.expires) < (pointer.seq, pointer.expires):
                self._notes = {**notes, place: pointer}
                _write(self._file, self._notes)

    def _read(self) -> dict[str, Pointer]:
        if self._file is None:
            return self._notes
        try:
            return _NOTES.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            raise ConfigError(
                f"{self._file} cannot be read, but must say which pointers were seen: restore it, or delete it if you "
                "are sure that nobody put an old pointer back"
            ) from error


def _write(path: Path | None, notes: dict[str, Pointer]) -> None:
    if path is not None:
        write_privately(path, _NOTES.dump_json(notes, indent=1))


@contextmanager
def _locked(path: Path | None) -> Iterator[None]:
    if path is None:
        yield
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise ConfigError(
            f"INGOT_SERVING_STATE is {path.parent}, but must be a folder of ours: {error.strerror or error}"
        ) from error
