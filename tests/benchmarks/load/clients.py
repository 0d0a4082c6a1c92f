"""Many clients on kept connections, in a process of their own: `python clients.py` with a plan on stdin.

Requests are bytes made beforehand, and of an answer no more is read than its status, its length and whether the label
stands in it, so that one core drives a server that fills another. `Fleet` starts the process and reads what it found.
"""

import asyncio
import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Ask:
    """One request, and what must stand in its answer."""

    path: str
    body: bytes
    marker: bytes
    headers: tuple[tuple[str, str], ...] = ()

    def on_the_wire(self, port: int) -> bytes:
        """The whole request."""
        given = {"Host": f"127.0.0.1:{port}", "Content-Type": "application/json", **dict(self.headers)}
        head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        return f"POST {self.path} HTTP/1.1\r\n{head}Content-Length: {len(self.body)}\r\n\r\n".encode() + self.body


@dataclass
class Plan:
    """What the clients do, as JSON on their stdin."""

    port: int
    requests: list[str]
    """Base64, each sent in turn."""
    markers: list[str]
    connections: int = 64
    seconds: float = 5.0
    """Until the clients stop asking; SIGTERM ends it earlier."""
    at_least: int = 0
    """Requests that are sent whatever the time."""
    cores: list[int] = field(default_factory=list)
    record: str = ""
    """A file for every single answer: when it was asked, when it came, on which connection, its body."""


@dataclass
class Found:
    """What the clients saw; latencies in milliseconds."""

    answers: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float
    first_failure: str = ""


class Fleet:
    """A process of clients.

    Args:
        port: Of the server.
        asks: What is asked, in turns.
        more: Further fields of `Plan`.
    """

    def __init__(self, port: int, asks: Sequence[Ask], **more: Any) -> None:
        requests = [base64.b64encode(ask.on_the_wire(port)).decode() for ask in asks]
        plan = Plan(port, requests, [ask.marker.decode() for ask in asks], **more)
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._process.stdin.write(json.dumps(asdict(plan)))
        self._process.stdin.close()
        self._process.stdin = None

    def enough(self) -> None:
        """Lets the clients stop as soon as they have asked what they must."""
        self._process.send_signal(signal.SIGTERM)

    def found(self) -> Found:
        """Waits for the end."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            sys.exit("the clients failed, see above")
        return Found(**json.loads(output))


class Load:
    """What all clients of the process share."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.requests = [base64.b64decode(text) for text in plan.requests]
        self.markers = [text.encode() for text in plan.markers]
        self.sent, self.failed, self.first_failure = 0, 0, ""
        self.latencies: list[float] = []
        self.bodies: dict[bytes, int] = {}
        self.records: list[tuple[float, float, int, int, int]] = []
        self.open = 0
        self.done = asyncio.get_running_loop().create_future()
        self.end = time.perf_counter() + plan.seconds

    def over(self) -> bool:
        return time.perf_counter() >= self.end and self.sent >= self.plan.at_least

    def stop(self) -> None:
        self.end = 0.0

    def fail(self, why: str) -> None:
        self.failed += 1
        self.first_failure = self.first_failure or why

    def closed(self) -> None:
        self.open -= 1
        if not self.open and not self.done.done():
            self.done.set_result(None)


class Client(asyncio.Protocol):
    """One connection: asks, waits for the answer, asks again."""

    def __init__(self, load: Load, number: int) -> None:
        self.load, self.number, self.turn = load, number, number
        self.waiting, self.buffer = b"", b""
        self.asked = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        load = self.load
        if load.over():
            self.waiting = b""
            self.transport.close()
            return
        self.turn = (self.turn + 1) % len(load.requests)
        self.waiting = load.markers[self.turn]
        load.sent += 1
        self.asked = time.perf_counter()
        self.transport.write(load.requests[self.turn])

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            data = self.buffer + data
        head = data.find(_HEAD_END)
        length = _LENGTH.search(data, 0, head + 2) if head >= 0 else None
        if length is None or len(data) < head + 4 + int(length[1]):
            self.buffer = data
            return
        now, self.buffer = time.perf_counter(), b""
        load = self.load
        if data.startswith(b"HTTP/1.1 200") and data.find(self.waiting, head) > 0:
            load.latencies.append(now - self.asked)
        else:
            load.fail(f"{self.waiting!r} is not in {data[:400]!r}")
        if load.plan.record:
            body = load.bodies.setdefault(data[head + 4 :], len(load.bodies))
            load.records.append((self.asked, now, self.number, self.turn, body))
        self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        load = self.load
        if self.waiting:
            load.fail(f"connection lost: {error!r}")
            if not load.over():
                loop = asyncio.get_running_loop()
                self.waiting = b""
                task = loop.create_task(loop.create_connection(lambda: self, "127.0.0.1", load.plan.port))
                task.add_done_callback(lambda made: made.exception() and load.closed())
                return
        load.closed()


async def drive(plan: Plan) -> Found:
    """Runs a plan."""
    load, loop = Load(plan), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, load.stop)
    start = time.perf_counter()
    load.open = plan.connections
    for number in range(plan.connections):
        await loop.create_connection(lambda number=number: Client(load, number), "127.0.0.1", plan.port)
    last = start
    while not load.done.done():
        await asyncio.wait([load.done], timeout=1)
        last = last if load.over() else time.perf_counter()
        if time.perf_counter() > last + _PATIENCE_SECONDS:
            load.fail(f"{load.open} answers never came")
            break
    seconds = time.perf_counter() - start
    if plan.record:
        answers = [body.decode() for body in load.bodies]
        Path(plan.record).write_text(json.dumps({"bodies": answers, "records": load.records}))
    ordered = sorted(load.latencies) or [float("nan")]
    p50, p99 = (1000 * ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99))
    return Found(len(load.latencies), load.failed, seconds, p50, p99, load.first_failure)


def main() -> None:
    """Reads the plan, prints what was found."""
    plan = Plan(**json.load(sys.stdin))
    if plan.cores:
        os.sched_setaffinity(0, plan.cores)
    try:
        import uvloop

        found = uvloop.run(drive(plan))
    except ImportError:
        found = asyncio.run(drive(plan))
    json.dump(asdict(found), sys.stdout)


if __name__ == "__main__":
    main()
