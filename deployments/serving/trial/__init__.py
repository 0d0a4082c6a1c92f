"""A version proves itself in a process of its own before it may be loaded here.

The child (`python -m deployments.serving.trial`) has a ceiling on memory and processor time, may write no file, and
inherits no secret. What kills it, kills nobody else: the parent makes one sentence of it.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from deployments.serving.settings import Settings
from tasks.contracts.errors import GraphError, IntegrityError, UnavailableError
from tasks.contracts.manifest import Manifest

_BASE_BYTES = 2**30
_TIMES_THE_FILES = 8
"""Read, parsed, loaded, optimized, and packed for the processor: each holds the weights once."""
_INHERITED = ("PATH", "LANG", "LC_ALL", "PYTHONHOME", "LD_LIBRARY_PATH", "TMPDIR", "INGOT_ALLOWED_OPERATORS")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
_ROOT = Path(__file__).parents[3]
_LONGEST_ANSWER_BYTES = 2**20
_PATIENT = 10
_ERRORS: dict[str, type[GraphError | IntegrityError]] = {"GraphError": GraphError, "IntegrityError": IntegrityError}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a trial may use."""

    memory_bytes: int = 0
    """0 takes 1 GiB and eight times the file."""
    seconds: float = 60.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Limits":
        """INGOT_TRIAL_MEMORY_BYTES and INGOT_TRIAL_SECONDS.

        Raises:
            ConfigError: If one has a value it cannot have.
        """
        settings = Settings.from_environment(environment)
        return cls(settings.trial_memory_bytes, settings.trial_seconds)


@dataclass(frozen=True, slots=True)
class Passed:
    """What a trial found out."""

    operators: dict[str, int]
    """How often each operator is used."""
    golden_rows: int
    row_seconds: float
    """What one row cost, once warm."""


def undergo(graph: Path, manifest: Manifest, sha256: str, limits: Limits | None = None) -> Passed:
    """Has a graph vetted, loaded, and held against its golden batch in a child process.

    Args:
        graph: The ONNX file, in a folder that nobody else writes to.
        manifest: What it must answer.
        sha256: What the file must be.
        limits: None takes the environment's.

    Raises:
        IntegrityError: If the file is not this one, is no ONNX graph, or leans on something outside its folder.
        GraphError: If it uses an operator that is not allowed, does not answer as recorded, or breaks its limits.
        UnavailableError: If no process can be started.
    """
    limits = limits or Limits.from_environment()
    memory_bytes = limits.memory_bytes or _BASE_BYTES + _TIMES_THE_FILES * _weight(graph)
    asked = {
        "graph": str(graph.absolute()),
        "sha256": sha256,
        "manifest": manifest.model_dump(mode="json"),
        "memory_bytes": memory_bytes,
        "seconds": limits.seconds,
    }
    with tempfile.TemporaryFile() as request:
        request.write(json.dumps(asked).encode())
        request.seek(0)
        code, answer = _child(request, limits.seconds)
    return _understood(code, answer, replace(limits, memory_bytes=memory_bytes))


def _weight(graph: Path) -> int:
    """The bytes of a graph and of whatever lies beside it."""
    return sum(path.lstat().st_size for path in graph.parent.rglob("*") if path.is_file())


def _child(request: IO[bytes], seconds: float) -> tuple[int | None, bytes]:
    """Runs the child; its exit code (None if it had to be ended), and what it answered."""
    command = [sys.executable, "-B", "-P", "-s", "-m", "deployments.serving.trial"]
    try:
        child = subprocess.Popen(
            command,
            stdin=request,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise UnavailableError(f"no process can be started for a trial ({error.strerror}): free memory") from error
    with suppress(OSError):  # it may have ended already
        os.setpriority(os.PRIO_PROCESS, child.pid, _PATIENT)  # whoever is served meanwhile goes first
    with child:
        answer, in_time = _heard(child.stdout, seconds)
        if in_time:
            try:
                return child.wait(1), answer
            except subprocess.TimeoutExpired:
                pass
        child.kill()
    return None, b""


def _environment() -> dict[str, str]:
    """What the child inherits: where Python and our packages are, and nothing that opens a door."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    paths = [str(_ROOT), *(str(Path(each).absolute()) for each in os.environ.get("PYTHONPATH", "").split(":") if each)]
    return kept | _ONE_THREAD | {"PYTHONPATH": ":".join(paths)}


def _heard(pipe: IO[bytes] | None, seconds: float) -> tuple[bytes, bool]:
    """What comes out of a pipe until it closes; False if it stays open, or floods."""
    if pipe is None:
        return b"", False
    heard, end = b"", time.monotonic() + seconds
    while len(heard) <= _LONGEST_ANSWER_BYTES:
        ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
        piece = os.read(pipe.fileno(), 65536) if ready else b""
        if not piece:
            return heard, bool(ready)
        heard += piece
    return b"", False


def _understood(code: int | None, answer: bytes, limits: Limits) -> Passed:
    slow = f"the graph did not pass its trial in {limits.seconds:g} s, but must: make it faster, or raise "
    if code is None or code == -signal.SIGXCPU:
        raise GraphError(f"{slow}INGOT_TRIAL_SECONDS")
    if code == -signal.SIGKILL:
        raise GraphError(
            "the trial of the graph was killed (out of memory or of processor time), but must end by itself: "
            "free memory, or raise INGOT_TRIAL_SECONDS"
        )
    if code < 0:
        raise GraphError(
            f"the trial of the graph died of {signal.Signals(-code).name} under {limits.memory_bytes} bytes of memory, "
            "but must end by itself: export it anew, or raise INGOT_TRIAL_MEMORY_BYTES"
        )
    told = _fields(answer)
    if code or told is None:
        raise GraphError(f"the trial of the graph ended with code {code} and no answer: look at the installation")
    if "error" in told:
        raise _ERRORS.get(str(told["error"]), GraphError)(str(told.get("message")))
    return Passed(**told)


def _fields(answer: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    known = set(Passed.__slots__)
    return told if isinstance(told, dict) and set(told) in (known, {"error", "message"}) else None
