"""Whether an audit log is whole: every line follows on the one before, from the first file to the last."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from deployments.serving.access.audit import CLOSED, NO_LINE, OPENED, files_of
from tasks.contracts.errors import InputError, IntegrityError


@dataclass(frozen=True, slots=True)
class ChainReport:
    """One whole chain."""

    slot: str
    files: int
    lines: int
    head: str
    """Digest of its last line: keep it elsewhere, and an end that is cut off later shows."""
    torn_bytes: int
    """What a process that was killed left behind the last line."""


@dataclass(slots=True)
class _State:
    head: str = NO_LINE
    torn: bytes = b""
    lines: int = 0


def verify(folder: Path) -> list[ChainReport]:
    """Walks all chains of a folder.

    Raises:
        InputError: The folder holds no audit log.
        IntegrityError: A chain is broken; the message names file and line.
    """
    slots = [slot for slot in folder.iterdir() if slot.is_dir() and slot.name.isdigit()] if folder.is_dir() else []
    if not slots:
        raise InputError(f"{folder} holds no audit log, but must: name the folder `audit` of INGOT_SERVING_STATE")
    return [_chain(slot) for slot in sorted(slots, key=lambda slot: int(slot.name))]


def _chain(slot: Path) -> ChainReport:
    marks = {path.stem for path in slot.glob("*.head")}  # before the files: a server may be writing
    state, files = _State(), files_of(slot)
    for number, path in enumerate(files, 1):
        if not path.name.startswith(f"{number:08d}-"):
            raise IntegrityError(
                f"{slot} has no file {number:08d}, but must have one before {path.name}: it was removed"
            )
        _file(path, number, state)
    missing = marks - {path.stem for path in files}
    if missing:
        raise IntegrityError(f"{slot / min(missing)}.jsonl is missing, but its .head is there: it was removed")
    return ChainReport(slot.name, len(files), state.lines, state.head, len(state.torn))


def _file(path: Path, number: int, state: _State) -> None:
    marked, digest = _mark(path)
    count, closed = 0, False
    for count, line in enumerate(_lines(path, state), 1):
        facts = _facts(path, count, line)
        if facts.get("previous") != state.head:
            raise _broken(path, count, "does not follow on the line before: one of the two was changed, or one removed")
        if count == 1:
            _check_opening(path, number, facts, state)
        elif closed:
            raise _broken(path, count, "stands behind the end: it was put in")
        closed = facts.get("event") == CLOSED
        state.head = sha256(line).hexdigest()
        if count == marked and state.head != digest:
            raise _broken(path, count, "is not what the .head says: it was changed")
    state.lines += count
    if count < marked:
        raise _broken(path, count + 1, f"is missing: {marked} lines were written, the end was cut off")


def _lines(path: Path, state: _State) -> Iterator[bytes]:
    """The whole lines of a file; what is torn is known after the first line was looked at."""
    torn = b""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]
            else:
                torn = line
    state.torn = torn


def _check_opening(path: Path, number: int, facts: dict[str, Any], state: _State) -> None:
    if facts.get("event") != OPENED or facts.get("file") != number:
        raise _broken(path, 1, f"must open file {number}: it was changed")
    said = facts.get("torn_bytes", 0), facts.get("torn_sha256", "")
    found = len(state.torn), sha256(state.torn).hexdigest() if state.torn else ""
    if said != found:
        raise _broken(
            path, 1, f"says that {said[0]} bytes were torn before it, but {found[0]} or others are: cut short"
        )


def _facts(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        facts = orjson.loads(line)
    except orjson.JSONDecodeError:
        facts = None
    if not isinstance(facts, dict):
        raise _broken(path, number, "is no line of ours: it was changed")
    return facts


def _mark(path: Path) -> tuple[int, str]:
    """How many lines a file has at least, and the digest of the last of them; none if that was never written."""
    try:
        count, _, digest = path.with_suffix(".head").read_text().strip().partition(" ")
        return int(count), digest
    except (FileNotFoundError, ValueError):
        return 0, ""


def _broken(path: Path, number: int, what: str) -> IntegrityError:
    return IntegrityError(f"{path}, line {number} {what}")
