"""What MLflow is told stands on disk first, and leaves it, in order, when MLflow has taken it.

So nothing is lost while MLflow is away or this process is killed. Everything here may be sent twice: MLflow keeps a
point (name, value, time, step) once, and tags, parameters, files and an end with its own time stay what they are.
Processes take turns. A file that is no entry of ours, or that nobody can take, is put aside as `.broken`; what is for
another server waits.
"""

import base64
import errno
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from uuid import uuid4

from pydantic import ValidationError

from tasks.contracts.errors import InputError, UnavailableError
from tasks.contracts.record import Record
from tasks.contracts.secrets import masked
from tasks.stores.tracking.client import REFUSED, address, answered, answers, client, error_code

BATCH = 1000
"""Most points that MLflow takes at once."""

MOST_PAIRS = 100
"""Most parameters or tags that it takes at once."""

PAUSE_SECONDS = 10.0
"""After a failure nobody is asked for so long: each try of a silent server costs seconds."""

TURN_SECONDS = 2.0
"""How long we wait for another process that is sending; it sends ours as well."""

MOST_BYTES = 256 * 2**20
"""What may wait; beyond that it is as if the disk were full."""

log = logging.getLogger(__name__)
_numbers = count()
_silent_until: dict[str, float] = {}


class Point(NamedTuple):
    """One value of one metric."""

    name: str
    value: float
    time_ms: int
    step: int


class Entry(Record):
    """What a run shall be told; its end comes last."""

    address: str
    """The server it is for."""
    run_id: str
    points: tuple[Point, ...] = ()
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    file: str = ""
    """Where `content`, in base64, shall lie among the artifacts."""
    content: str = ""
    status: str = ""
    """How it ended; empty if it did not."""
    end_ms: int = 0


def file_entry(run_id: str, name: str, content: bytes) -> Entry:
    """A small file to be logged."""
    return Entry(address=address(), run_id=run_id, file=name, content=base64.b64encode(content).decode())


def deliver(entry: Entry, *, again: bool = False) -> None:
    """Tells MLflow, after all that waits; while it is away this waits too.

    Args:
        entry: What to tell.
        again: Ask also a server that did not answer a moment ago.

    Raises:
        InputError: MLflow refuses this.
        UnavailableError: MLflow is away, and the disk is full.
    """
    if not (entry.points or entry.params or entry.tags or entry.file or entry.status):
        return
    try:
        own = keep(entry)
    except OSError as error:
        log.warning("%s cannot be written (%s): free some space", folder(), error.strerror)
        apply(entry)
        return
    with suppress(UnavailableError):
        replay(own, again=again)


def keep(entry: Entry) -> Path:
    """Puts an entry on disk; the file appears whole.

    Raises:
        OSError: the disk is full, or too much waits already.
    """
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    text = json.dumps(entry.model_dump())
    if len(text) + sum(map(_size, _waiting())) > MOST_BYTES:
        raise OSError(errno.EDQUOT, f"more than {MOST_BYTES >> 20} MiB wait for MLflow")
    path = place / f"{time.time_ns()}-{next(_numbers):09d}-{uuid4().hex}.json"
    part = path.with_suffix(".part")
    try:
        part.write_text(text)
        return part.rename(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def replay(own: Path | None = None, *, again: bool = True) -> None:
    """Tells MLflow all that waits for it, oldest first. What it no longer takes is let go.

    A run of which it cannot take one thing, though it answers, waits; the others do not wait for it.

    Args:
        own: The entry whose refusal is to be raised.
        again: Ask also a server that did not answer a moment ago.

    Raises:
        UnavailableError: MLflow does not answer; everything keeps waiting.
        InputError: MLflow refuses us, or `own`.
    """
    server = address()
    if not again and time.monotonic() < _silent_until.get(server, 0.0):
        return
    with _turn() as ours:
        seen: set[Path] = set()
        held: set[str] = set()
        while ours and (waiting := [path for path in _waiting() if path not in seen]):
            for path in waiting:
                seen.add(path)
                entry = _read(path)
                if entry is None or entry.address != server or entry.run_id in held:
                    continue
                try:
                    _take(path, entry, own)
                except UnavailableError as error:
                    if not answers():
                        _silent_until[server] = time.monotonic() + PAUSE_SECONDS
                        raise
                    log.warning("what run %s shall be told waits: %s", entry.run_id, error)
                    held.add(entry.run_id)
                _silent_until.pop(server, None)


def apply(entry: Entry) -> None:
    """Tells MLflow now.

    Raises:
        UnavailableError: it does not answer.
        InputError: it refuses.
    """
    mlflow = client()
    with answered():
        from mlflow.entities import Metric, Param, RunTag

        for start in range(0, len(entry.points), BATCH):
            batch = [Metric(p.name, p.value, p.time_ms, p.step) for p in entry.points[start : start + BATCH]]
            mlflow.log_batch(entry.run_id, metrics=batch)
        for pairs in _batches(entry.params):
            mlflow.log_batch(entry.run_id, params=[Param(name, value) for name, value in pairs])
        for pairs in _batches(entry.tags):
            mlflow.log_batch(entry.run_id, tags=[RunTag(name, value) for name, value in pairs])
        if entry.file:
            _log_file(entry)
        if entry.status:
            mlflow.set_terminated(entry.run_id, entry.status, end_time=entry.end_ms)


def folder() -> Path:
    """Where entries wait."""
    return Path(os.environ.get("INGOT_HOME", ".ingot")) / "spool"


def _take(path: Path, entry: Entry, own: Path | None) -> None:
    try:
        apply(entry)
    except InputError as error:
        if error_code(error) in REFUSED:
            raise
        path.unlink(missing_ok=True)
        if path == own:
            raise
        log.warning("run %s is not told what waited for it: %s", entry.run_id, error)
    except UnavailableError:
        raise
    except Exception as error:  # noqa: BLE001 - a file may go to any kind of store, which fails in its own words
        reason = masked(f"{type(error).__name__}: {error}")
        log.warning("run %s is not told what waited for it (%s): it is put aside", entry.run_id, reason)
        _put_aside(path)
        return
    path.unlink(missing_ok=True)


def _read(path: Path) -> Entry | None:
    """An entry, or None if it is gone, or was none."""
    try:
        return Entry.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, ValidationError):
        log.warning("%s is no entry of ours: it is put aside", path)
        _put_aside(path)
        return None


def _put_aside(path: Path) -> None:
    with suppress(OSError):
        path.replace(path.with_suffix(".broken"))


def _log_file(entry: Entry) -> None:
    place, _, name = entry.file.rpartition("/")
    with TemporaryDirectory(prefix="ingot-") as scratch:
        path = Path(scratch, Path(name).name)
        path.write_bytes(base64.b64decode(entry.content))
        client().log_artifact(entry.run_id, str(path), place or None)


def _batches(pairs: Mapping[str, str]) -> Iterator[list[tuple[str, str]]]:
    left = iter(pairs.items())
    while batch := list(islice(left, MOST_PAIRS)):
        yield batch


def _waiting() -> list[Path]:
    return sorted(folder().glob("*.json"))


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


@contextmanager
def _turn() -> Iterator[bool]:
    """Whether it is our turn to send; nobody waits long for another who hangs."""
    if not _waiting():
        yield False
        return
    with folder().with_suffix(".lock").open("a") as file:
        deadline = time.monotonic() + TURN_SECONDS
        ours = _locked(file.fileno())
        while not ours and time.monotonic() < deadline:
            time.sleep(0.01)
            ours = _locked(file.fileno())
        yield ours


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
