"""Whether a new champion is felt: 64 clients ask on and on while 20 versions are promoted and 5 rolled back.

The model is `value = weight * (a + b)` with another weight in every version, and every answer names its version, so an
answer tells which graph made it. The journal and the pointer are written by this process, in a store in a folder, while
the serving process answers. Of every answer these are held:

* failed: another status than 200, or no whole answer;
* torn: the value is not what the version makes that it names;
* wrong version: the version is not champion at any moment between the question and the answer, where a swap takes
  effect at its first answer: whoever asks after that answer came must not be answered by an earlier version, and
  nobody by one before its pointer was moved. Workers swap one by one, so theirs is held on each connection.

A reload's window begins when the pointer is moved and ends half a second after the first answer by the new version.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from rich.console import Console
from rich.table import Table

from deployments.serving.settings import Settings
from tasks.runtime.cpu import conditions
from tasks.stores.s3 import Store

sys.path.insert(0, str(Path(__file__).parent))
from load import features
from load.clients import Ask, Fleet, Found
from load.machine import Running, free_port
from load.models import make_champion, publish, weighted

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results" / "reloads.json"
NAME = "weighted"
REQUESTS, CONNECTIONS = 200_000, 64
RELOADS, ROLLBACK_AFTER = 20, 4
POLL_SECONDS, PAUSE_SECONDS, SETTLED_SECONDS = 0.25, 2.5, 0.5
ROWS = tuple((float(a), float(a * a)) for a in range(1, 9))
"""Sums are whole numbers, so float32 and JSON keep them exactly."""


@dataclass
class Move:
    """One promotion or rollback."""

    version: str
    action: str
    begun: float = 0.0
    done: float = 0.0


class Answer(NamedTuple):
    """One answer, as the clients wrote it down."""

    asked: float
    came: float
    connection: int
    row: int
    body: int


def main() -> None:
    """One process, then several workers where there are such; print and write what was seen."""
    figures = {"one process": run(1)}
    if hasattr(Settings, "workers"):
        figures["two workers"] = run(2)
    report(figures)


def planned() -> list[Move]:
    """The first champion, then twenty more; after every fourth the one before it comes back."""
    moves = [Move("1", "promote")]
    for number in range(2, RELOADS + 2):
        moves.append(Move(str(number), "promote"))
        if (number - 1) % ROLLBACK_AFTER == 0:
            moves.append(Move(str(number - 1), "rollback"))
    return moves


def run(workers: int) -> dict[str, Any]:
    """All moves under load."""
    moves = planned()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        keys = features.signing(folder)
        os.environ.update(keys)
        ours = {"PYTHONPATH": str(ROOT), "INGOT_BUCKET": f"file://{folder}/store", **features.serving(keys, folder)}
        headers = features.api_key(NAME, {**os.environ, **ours, **keys})
        store = Store.from_environment(ours["INGOT_BUCKET"])
        golden = np.array(ROWS[:2], np.float32)
        versions = sorted({move.version for move in moves}, key=int)
        facts = {each: publish(store, NAME, each, weighted(float(each)), golden) for each in versions}
        move(store, moves[0], facts)
        port = free_port()
        more = {"INGOT_SERVING_PORT": str(port), "INGOT_POLL_SECONDS": str(POLL_SECONDS)}
        more |= {"INGOT_SERVING_WORKERS": str(workers)} if workers > 1 else {}
        command = [sys.executable, "-m", "deployments.serving", NAME]
        server = Running(
            command, ready="/v2/health/ready", port=port, log=folder / "log", environment={**ours, **more}, cwd=folder
        )
        try:
            record = folder / "answers.json"
            fleet = Fleet(
                port, asks(headers), connections=CONNECTIONS, seconds=1e6, at_least=REQUESTS, record=str(record)
            )
            for each in moves[1:]:
                time.sleep(PAUSE_SECONDS)
                move(store, each, facts)
            time.sleep(PAUSE_SECONDS)
            fleet.enough()
            found = fleet.found()
            memory = server.memory()
        finally:
            server.stop()
        written = json.loads(record.read_text())
    answers = [Answer(*each) for each in written["records"]]
    return judged(found, answers, [json.loads(body) for body in written["bodies"]], moves, workers) | memory


def asks(headers: tuple[tuple[str, str], ...]) -> list[Ask]:
    """One question for each row."""
    made = []
    for row in ROWS:
        body = {"inputs": [{"name": "features", "shape": [1, 2], "datatype": "FP32", "data": row}]}
        made.append(Ask(f"/v2/models/{NAME}/infer", json.dumps(body).encode(), b'"model_version"', headers))
    return made


def move(store: Store, move: Move, facts: Mapping[str, dict[str, str]]) -> None:
    """Makes a version the champion, and notes when."""
    move.begun = time.perf_counter()
    make_champion(store, NAME, facts[move.version], move.action)
    move.done = time.perf_counter()


def judged(
    found: Found, answers: Sequence[Answer], bodies: Sequence[dict[str, Any]], moves: Sequence[Move], workers: int
) -> dict[str, Any]:
    """What was seen, counted."""
    refused = {index for index, body in enumerate(bodies) if "model_version" not in body}  # they count as failed
    answers = sorted((each for each in answers if each.body not in refused), key=lambda each: each.came)
    said = [("", 0.0) if "error" in body else (body["model_version"], body["outputs"][0]["data"][0]) for body in bodies]
    torn = sum(said[each.body][1] != float(said[each.body][0]) * sum(ROWS[each.row]) for each in answers)
    places = placed(answers, [version for version, _ in said], moves, across=workers == 1)
    first: dict[int, float] = {}
    for answer, place in zip(answers, places, strict=True):
        if place is not None:
            first.setdefault(place, answer.came)
    late = [
        answer.asked - moves[place + 1].done
        for answer, place in zip(answers, places, strict=True)
        if place is not None and place + 1 < len(moves)
    ]
    windows = [(moves[place].begun, came + SETTLED_SECONDS) for place, came in sorted(first.items()) if place > 0]
    busy, quiet = split(answers, windows)
    return {
        "requests": len(answers),
        "failed": found.failed,
        "first_failure": found.first_failure,
        "torn": torn,
        "wrong_version": sum(place is None for place in places),
        "moves": len(moves) - 1,
        "moves_never_seen": len(moves) - len(first),
        "rate": found.answers / found.seconds,
        "seconds_to_swap": statistics.median(came - moves[place].begun for place, came in first.items() if place > 0),
        "longest_lag_seconds": max(late, default=0.0),
        "share_in_windows": len(busy) / len(answers),
        "p99_quiet_ms": percentile(quiet, 0.99),
        "p99_reload_ms": percentile(busy, 0.99),
        "worst_reload_ms": max(busy),
        "worst_quiet_ms": max(quiet),
        "p99_ratio": percentile(busy, 0.99) / percentile(quiet, 0.99),
    }


def placed(answers: Sequence[Answer], versions: Sequence[str], moves: Sequence[Move], across: bool) -> list[int | None]:
    """The move that each answer, in the order they came, belongs to; None for one that may not be.

    An answer belongs to the first move to its version that is no earlier than any that had answered before it was
    asked, on its connection (`across`: on any), and that was begun when the answer came.
    """
    found: list[int | None] = []
    times: dict[int, list[float]] = {}
    reached: dict[int, list[int]] = {}
    for answer in answers:
        lane = 0 if across else answer.connection
        came, newest = times.setdefault(lane, []), reached.setdefault(lane, [])
        known = bisect_left(came, answer.asked)
        floor = newest[known - 1] if known else 0
        begun = bisect_right(moves, answer.came, key=lambda each: each.begun)
        version = versions[answer.body]
        place = next((each for each in range(floor, begun) if moves[each].version == version), None)
        found.append(place)
        if place is not None:
            came.append(answer.came)
            newest.append(max(place, newest[-1] if newest else 0))
    return found


def split(answers: Sequence[Answer], windows: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Milliseconds of the answers that touched a window, and of the others."""
    busy, quiet = [], []
    for answer in answers:
        inside = any(start <= answer.came and answer.asked <= end for start, end in windows)
        (busy if inside else quiet).append(1000 * (answer.came - answer.asked))
    return busy, quiet


def percentile(values: Sequence[float], share: float) -> float:
    """That one of the values."""
    return sorted(values)[int(share * (len(values) - 1))]


def shown(value: object) -> str:
    """A figure in its column."""
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def report(figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the table and the verdicts, write both."""
    console = Console(width=140)
    table = Table(title=f"{RELOADS} promotions and {RELOADS // ROLLBACK_AFTER} rollbacks under {CONNECTIONS} clients")
    table.add_column("", no_wrap=True)
    for name in figures:
        table.add_column(name, justify="right")
    for key in next(iter(figures.values())):
        table.add_row(key, *(shown(each[key]) for each in figures.values()))
    console.print(table)
    lines = []
    for name, each in figures.items():
        for what in ("failed", "torn", "wrong_version", "moves_never_seen"):
            lines.append(f"{name}: {what} {each[what]} (asked 0): {'reached' if each[what] == 0 else 'MISSED'}")
        enough = each["requests"] >= REQUESTS
        lines.append(f"{name}: requests {each['requests']:,} (asked {REQUESTS:,}): {'reached' if enough else 'MISSED'}")
        calm = each["p99_ratio"] <= 2
        lines.append(
            f"{name}: p99 in reloads over quiet {each['p99_ratio']:.2f} (asked <= 2): {'reached' if calm else 'MISSED'}"
        )
    for line in lines:
        console.print(line, highlight=False)
    RESULTS.parent.mkdir(exist_ok=True)
    content = {"figures": figures, "verdicts": lines, "conditions": conditions(1, 1).model_dump(mode="json")}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
