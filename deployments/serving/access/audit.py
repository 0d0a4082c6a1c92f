"""The audit log: lines of JSON, each of which names the SHA-256 of the line before.

    audit/<slot>/<number>-<start>.jsonl     one chain over all files of a slot; a process holds its slot by a file lock
    audit/<slot>/<number>-<start>.head      lines and last digest that were safely on disk, up to a second behind

A file begins with an `opened` line that follows on the last line of the file before. A process that was killed in the
midst of a write leaves a torn last line: it stays where it is, and the `opened` line of the next file says how long it
was and what its digest is, so that a line which somebody cuts short later is not taken for a torn one.

What such a log shows: every line that was changed, removed, put in or moved, a missing file, and an end that was cut
off without its `.head`. What it cannot show: that somebody who may write the folder cut off the end together with its
`.head`, put a line behind the last one of a process that was killed, or wrote the whole chain anew. For that, keep the
heads that `ingot audit verify` prints somewhere else.
"""

import fcntl
import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from tasks.contracts.errors import ConfigError

NO_LINE = "0" * 64
"""What the first line of a chain names."""
OPENED, CLOSED = "opened", "closed"
MOST_BYTES = 64 * 2**20
_MOST_SLOTS = 1024


def utc(moment: float) -> str:
    """Seconds since the epoch as ISO 8601.

    >>> utc(0.25)
    '1970-01-01T00:00:00.250000+00:00'
    """
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")


def line_of(facts: Mapping[str, Any], previous: str) -> bytes:
    """One line, without its end."""
    content = {"previous": previous, **facts}
    try:
        return orjson.dumps(content)
    except TypeError:  # a lone surrogate, which is no Unicode
        return json.dumps(content, ensure_ascii=False).encode(errors="replace")


class AuditLog:
    """The chain of one process; used by one thread.

    Args:
        folder: Of all chains.
        most_bytes: A file that is longer is followed by another.

    Raises:
        ConfigError: The folder cannot be written.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._waiting = bytearray()
        self._lines = self._synced = 0
        self._size = 0
        try:
            self._slot, self._lock = _free_slot(folder)
            self._number, self._head, torn = _last(self._slot)
            self._open(torn)
        except OSError as error:
            raise ConfigError(
                f"{folder} cannot be written ({error.strerror or error}), but must hold the audit log: "
                "correct INGOT_SERVING_STATE, or set INGOT_AUDIT=0"
            ) from error

    @property
    def slot(self) -> str:
        """The name of this chain."""
        return self._slot.name

    def add(self, facts: Mapping[str, Any]) -> None:
        """Puts a line at the end; it lies in memory until `write`."""
        line = line_of(facts, self._head)
        self._head = sha256(line).hexdigest()
        self._lines += 1
        self._waiting += line + b"\n"

    def write(self) -> None:
        """Hands all lines to the system, where they outlive this process.

        Raises:
            OSError: They cannot be written; the next call goes on where this one ended.
        """
        while self._waiting:
            written = os.write(self._file, self._waiting)
            self._size += written
            del self._waiting[:written]

    def sync(self) -> None:
        """Sees to it that the lines survive a loss of power, says so in the head, and turns the page if it is full."""
        self.write()
        if self._synced == self._lines:
            return
        os.fdatasync(self._file)
        os.pwrite(self._mark, f"{self._lines:012d} {self._head}\n".encode(), 0)
        self._synced = self._lines
        if self._size > self._most_bytes:
            self._shut()
            self._open(b"")

    def close(self) -> None:
        """Ends the chain for now, and gives the slot free."""
        self.add({"time": utc(time.time()), "event": CLOSED})
        try:
            self.sync()
        finally:
            self._shut()
            os.close(self._lock)

    def _shut(self) -> None:
        os.close(self._file)
        os.close(self._mark)

    def _open(self, torn: bytes) -> None:
        self._number += 1
        path = self._slot / f"{self._number:08d}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl"
        how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(path, how, 0o600)
        self._mark = os.open(path.with_suffix(".head"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._lines = self._size = self._synced = 0
        facts: dict[str, Any] = {
            "time": utc(time.time()),
            "event": OPENED,
            "file": self._number,
            "process": os.getpid(),
        }
        if torn:
            facts |= {"torn_bytes": len(torn), "torn_sha256": sha256(torn).hexdigest()}
        self.add(facts)


def files_of(slot: Path) -> list[Path]:
    """The files of a chain, in order."""
    return sorted(slot.glob("*.jsonl"))


def _free_slot(folder: Path) -> tuple[Path, int]:
    """The first slot that no process holds, and the descriptor that holds it."""
    for number in range(_MOST_SLOTS):
        slot = folder / str(number)
        slot.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(slot / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return slot, lock
    raise OSError(f"{_MOST_SLOTS} processes write there already")


def _last(slot: Path) -> tuple[int, str, bytes]:
    """The number of the last file, the digest of the last whole line, and what is torn behind the last file's lines."""
    files = files_of(slot)
    number = int(files[-1].name.partition("-")[0]) if files else 0
    torn = b""
    for path in reversed(files):
        whole, _, rest = path.read_bytes().rpartition(b"\n")
        if path == files[-1]:
            torn = rest
        if whole:
            return number, sha256(whole.rpartition(b"\n")[2]).hexdigest(), torn
    return number, NO_LINE, torn
