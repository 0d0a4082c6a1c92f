"""What an answer costs: one MLP behind Ingot, MLServer, `mlflow models serve` and FastAPI, asked in turns.

784-256-128-10 in fp32, one row of 784 numbers as JSON in each server's own protocol, 64 kept connections. Server and
clients are pinned to a core each, and every server has one process and one thread to compute with. All answers are
checked. CPU is that of the server's whole process tree over all requests it answered. Ingot runs with all it has:
signed versions, an API key, usage, audit, metrics. `serving.py ingot fastapi` runs only these.
"""

import json
import os
import statistics
import struct
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import onnxruntime
from rich.console import Console
from rich.table import Table

from tasks.runtime.cpu import conditions
from tasks.runtime.session import options
from tasks.stores.s3 import Store

sys.path.insert(0, str(Path(__file__).parent))
from load import features
from load.clients import Ask, Fleet, Found
from load.machine import CLIENT_CORES, SERVER_CORES, Running, free_port
from load.models import make_champion, mlp, publish
from rivals.serving import INGOT, NAME, ROOT, SERVERS, Server

RESULTS = Path(__file__).parent / "results" / "serving.json"
CONNECTIONS, ROUNDS, STARTS = 64, 5, 3
WARM_SECONDS, ROUND_SECONDS = 2.0, 6.0
IN_PROCESS = "in-process"
BINARY = "ingot binary"


@dataclass
class Contender:
    """One row of the table: a server (or the same one in another dialect) and its figures, one of each round."""

    server: Running
    asks: Sequence[Ask]
    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)

    def measure(self, seconds: float) -> None:
        """One round."""
        found, cpu = load(self.server, self.asks, seconds)
        self.found.append(found)
        self.rates.append(found.answers / found.seconds)
        self.cpu_ms.append(1000 * cpu / max(found.answers, 1))


def main(names: Sequence[str]) -> None:
    """Start all, ask all in turns, print and write the figures."""
    servers = [server for server in SERVERS if not names or server.name in names]
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        schema, graph = mlp()
        rows, labels = questions(graph)
        contenders, ready = {}, {}
        for server in servers:
            folder = Path(place) / server.name
            folder.mkdir()
            (folder / "model.onnx").write_bytes(graph)
            environment, headers = prepared(server, folder, (schema, graph), rows)
            running, ready[server.name] = started(server, folder, environment)
            stack.callback(running.stop)
            asks = [server.ask(row, label, headers) for row, label in zip(rows, labels, strict=True)]
            check(server, running.port, asks[0], labels[0])
            contenders[server.name] = Contender(running, asks)
            if server is INGOT and speaks_binary(running.port, headers):
                asks = [binary(row, label, headers) for row, label in zip(rows, labels, strict=True)]
                contenders[BINARY] = Contender(running, asks)
        in_process = rounds(contenders, graph, rows[:1])
        figures = {name: summary(each, ready.get(name)) for name, each in contenders.items()}
    figures[IN_PROCESS] = {"rate": statistics.median(in_process)}
    report(figures, verdicts(figures))


def questions(graph: bytes) -> tuple[np.ndarray, list[int]]:
    """Rows with as many different labels as can be found, and what they must get."""
    made = np.random.default_rng(0).normal(size=(20_000, 784)).round(5).astype(np.float32)
    labels = session_of(graph).run(["label"], {"features": made})[0]
    places = [place for label in range(10) for place in np.flatnonzero(labels == label)[:2]]
    order = np.random.default_rng(0).permutation(places)
    return made[order], [int(label) for label in labels[order]]


def session_of(graph: bytes) -> Any:
    """ONNX Runtime with one thread, set as Ingot sets it."""
    return onnxruntime.InferenceSession(graph, options(1), providers=["CPUExecutionProvider"])


def prepared(
    server: Server, folder: Path, made: tuple[Any, bytes], rows: np.ndarray
) -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
    """A server's environment, and what its clients send along. Ingot's model is signed and published."""
    if server is not INGOT:
        return {"MODEL": str(folder / "model.onnx"), "MLFLOW_DISABLE_TELEMETRY": "true"}, ()
    keys = features.signing(folder)
    os.environ.update(keys)
    ours = {"PYTHONPATH": str(ROOT), "INGOT_BUCKET": f"file://{folder}/store", **features.serving(keys, folder)}
    store = Store.from_environment(ours["INGOT_BUCKET"])
    make_champion(store, NAME, publish(store, NAME, "1", made, rows[:3]))
    return ours, features.api_key(NAME, {**os.environ, **ours, **keys})


def started(server: Server, folder: Path, environment: Mapping[str, str]) -> tuple[Running, float]:
    """The server, after it was started several times; and the median of how long it took until it was ready."""
    seconds, python = [], server.python()
    for attempt in range(STARTS):
        port = free_port()
        more = {"PATH": f"{python.parent}:{os.environ['PATH']}", "INGOT_SERVING_PORT": str(port)}
        running = Running(
            server.command(python, folder, port),
            ready=server.ready,
            port=port,
            log=folder / "log",
            environment={**environment, **more},
            cores=SERVER_CORES,
            cwd=folder,
        )
        seconds.append(running.ready_seconds)
        if attempt < STARTS - 1:
            running.stop()
    return running, statistics.median(seconds)


def check(server: Server, port: int, ask: Ask, label: int) -> None:
    """One whole answer is read as JSON: it must hold the label."""
    head = {"Content-Type": "application/json", **dict(ask.headers)}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{ask.path}", ask.body, head)
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
    if server.label_of(json.loads(text)) != label or ask.marker not in text:
        sys.exit(f"{server.name} answers {text[:300]!r}, but must say {label}")


def speaks_binary(port: int, headers: tuple[tuple[str, str], ...]) -> bool:
    """Whether the server says that it takes binary tensors."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v2", headers=dict(headers))
    with urllib.request.urlopen(request) as answer:
        return "binary_tensor_data" in json.load(answer)["extensions"]


def binary(row: np.ndarray, label: int, headers: tuple[tuple[str, str], ...]) -> Ask:
    """The same question with its numbers in binary; the label comes back as JSON, the probabilities in binary."""
    content = struct.pack(f"<{row.size}f", *row)
    sent = {"name": "features", "shape": [1, row.size], "datatype": "FP32"}
    sent["parameters"] = {"binary_data_size": len(content)}
    wanted = [{"name": "label", "parameters": {"binary_data": False}}]
    wanted.append({"name": "probabilities", "parameters": {"binary_data": True}})
    head = json.dumps({"inputs": [sent], "outputs": wanted}, separators=(",", ":")).encode()
    more = (("Inference-Header-Content-Length", str(len(head))), ("Content-Type", "application/octet-stream"))
    return Ask(INGOT.path, head + content, INGOT.marker.format(label).encode(), (*headers, *more))


def load(server: Running, asks: Sequence[Ask], seconds: float) -> tuple[Found, float]:
    """Clients for so long: what they found, and the CPU seconds that it cost the server."""
    before = server.cpu_seconds()
    found = Fleet(server.port, asks, connections=CONNECTIONS, seconds=seconds, cores=CLIENT_CORES).found()
    if found.failed:
        sys.stderr.write(f"{found.failed} requests failed: {found.first_failure}\n")
    return found, server.cpu_seconds() - before


def rounds(contenders: Mapping[str, Contender], graph: bytes, row: np.ndarray) -> list[float]:
    """All in turns, after each was warmed; returns how often a second ONNX Runtime answers without a server."""
    for each in contenders.values():
        load(each.server, each.asks, WARM_SECONDS)
    session, rates = session_of(graph), []
    for _ in range(ROUNDS):
        for each in contenders.values():
            each.measure(ROUND_SECONDS)
        with on(SERVER_CORES):
            rates.append(in_process_rate(session, row))
    return rates


@contextmanager
def on(cores: Sequence[int]) -> Iterator[None]:
    """Runs this process there for a while."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def in_process_rate(session: Any, row: np.ndarray, seconds: float = 2.0) -> float:
    """Runs of one row a second."""
    count, start = 0, time.perf_counter()
    while time.perf_counter() < start + seconds:
        session.run(["label", "probabilities"], {"features": row})
        count += 1
    return count / (time.perf_counter() - start)


def summary(each: Contender, ready_seconds: float | None) -> dict[str, Any]:
    """Medians over the rounds."""
    return {
        "rate": statistics.median(each.rates),
        "cpu_ms": statistics.median(each.cpu_ms),
        "p50_ms": statistics.median(found.p50_ms for found in each.found),
        "p99_ms": statistics.median(found.p99_ms for found in each.found),
        "answers": sum(found.answers for found in each.found),
        "failed": sum(found.failed for found in each.found),
        "ready_seconds": ready_seconds,
        **each.server.memory(),
    }


def verdicts(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Every bar beside what was reached, as far as it was run."""
    ours, lines = figures.get("ingot"), []
    if ours is None:
        return lines
    for name, bar in (("mlserver", 8), ("mlserver-stock", 8), ("mlflow", 20), ("fastapi", None)):
        if name in figures:
            lines.append(bound(f"CPU of {name} over ours", figures[name]["cpu_ms"] / ours["cpu_ms"], least=bar))
    for name, bar in (("mlserver", 6), ("mlserver-stock", 6), ("mlflow", None), ("fastapi", None)):
        if name in figures:
            lines.append(bound(f"our requests a second over {name}", ours["rate"] / figures[name]["rate"], least=bar))
    share = ours["rate"] / figures[IN_PROCESS]["rate"]
    lines.append(bound("our share of the in-process rate", share))
    if BINARY in figures:
        lines.append(bound("with binary tensors", figures[BINARY]["rate"] / figures[IN_PROCESS]["rate"]))
    lines.append(bound("seconds until ready", ours["ready_seconds"], most=2))
    lines.append(bound("MB of the first worker", ours["largest_rss_mb"], most=120))
    return lines


def bound(what: str, value: float, *, least: float | None = None, most: float | None = None) -> str:
    """One verdict."""
    if least is None and most is None:
        return f"{what}: {value:.3g}"
    reached = value >= least if least is not None else value <= (most or 0)
    asked = f">= {least:g}" if least is not None else f"<= {most:g}"
    return f"{what}: {value:.3g} (asked {asked}): {'reached' if reached else 'MISSED'}"


def report(figures: dict[str, dict[str, Any]], lines: Sequence[str]) -> None:
    """Print the table and the verdicts, write both."""
    console = Console(width=150)
    table = Table(title=f"one row of 784 numbers, {CONNECTIONS} connections, medians of {ROUNDS} rounds")
    table.add_column("server", no_wrap=True)
    columns = ("requests/s", "CPU ms", "p50 ms", "p99 ms", "ready s", "largest RSS MB", "USS MB", "processes", "failed")
    for heading in columns:
        table.add_column(heading, justify="right")
    keys = ("rate", "cpu_ms", "p50_ms", "p99_ms", "ready_seconds", "largest_rss_mb", "uss_mb", "processes", "failed")
    for name, each in figures.items():
        table.add_row(name, *("" if each.get(key) is None else f"{each[key]:,.4g}" for key in keys))
    console.print(table)
    shared = SERVER_CORES == CLIENT_CORES
    where = (
        "server and clients share one core" if shared else f"server on core {SERVER_CORES}, clients on {CLIENT_CORES}"
    )
    for line in (*lines, where):
        console.print(line, highlight=False)
    RESULTS.parent.mkdir(exist_ok=True)
    content = {"figures": figures, "verdicts": list(lines), "where": where}
    content["conditions"] = conditions(1, 1).model_dump(mode="json")
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
