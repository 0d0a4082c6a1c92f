"""The child of a trial: one question on standard input, one line of JSON as the answer.

Whatever it imports is imported before the limits are set; the graph is touched only after.
"""

import hashlib
import io
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from deployments.serving.golden import replay
from tasks.contracts.errors import GraphError, IngotError, IntegrityError
from tasks.contracts.manifest import Manifest
from tasks.runtime.session import load
from tasks.runtime.vetting import refuse_pickle, vet_graph

_OPEN_FILES = 64
_NO_MEMORY = ("bad_alloc", "Failed to allocate", "bad allocation", "Cannot allocate memory", "std::length_error")


def main() -> int:
    """Answers on standard output.

    Returns:
        The exit code: 0, also if the graph was refused.
    """
    asked = json.loads(sys.stdin.buffer.read())
    _close_stdin()
    _limit(asked["memory_bytes"], asked["seconds"])
    try:
        answer = _tried(asked)
    except MemoryError:
        answer = _told(_too_large(asked))
    except IngotError as error:
        wants_memory = any(mark in str(error) for mark in _NO_MEMORY)
        answer = _told(_too_large(asked) if wants_memory else error)
    except Exception as error:  # noqa: BLE001  the edge: a graph may be broken in ways nobody foresaw
        answer = _told(GraphError(f"the graph broke its trial ({type(error).__name__}), but must not: export it anew"))
    os.write(1, json.dumps(answer).encode())
    return 0


def _tried(asked: dict[str, Any]) -> dict[str, Any]:
    graph, manifest = Path(asked["graph"]), Manifest.model_validate(asked["manifest"])
    _check_digest(graph, asked["sha256"])
    refuse_pickle(graph)
    operators = vet_graph(graph)
    row_seconds = replay(load(graph, threads=1), manifest)
    rows = len(next(iter(manifest.golden.inputs.values())))
    return {"operators": dict(operators), "golden_rows": rows, "row_seconds": row_seconds}


def _check_digest(graph: Path, sha256: str) -> None:
    try:
        with graph.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise IntegrityError(f"{graph.name} cannot be read ({error.strerror}): fetch it again") from error
    if found != sha256:
        raise IntegrityError(f"{graph.name} has the SHA-256 {found}, but must have {sha256}: fetch it again")


def _limit(memory_bytes: int, seconds: float) -> None:
    processor_seconds = int(seconds) + 1
    for what, soft, hard in (
        (resource.RLIMIT_DATA, memory_bytes, memory_bytes),
        (resource.RLIMIT_CPU, processor_seconds, processor_seconds + 1),
        (resource.RLIMIT_NOFILE, _OPEN_FILES, _OPEN_FILES),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        highest = resource.getrlimit(what)[1]
        ceiling = hard if highest == resource.RLIM_INFINITY else min(hard, highest)
        resource.setrlimit(what, (min(soft, ceiling), ceiling))


def _close_stdin() -> None:
    sys.stdin = io.StringIO()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _too_large(asked: dict[str, Any]) -> GraphError:
    return GraphError(
        f"the graph wants more than {asked['memory_bytes']} bytes of memory, but may not: make it smaller, "
        "or raise INGOT_TRIAL_MEMORY_BYTES"
    )


def _told(error: IngotError) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": str(error)[:2000]}


if __name__ == "__main__":
    sys.exit(main())
