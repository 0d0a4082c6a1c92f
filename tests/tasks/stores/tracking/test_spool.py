"""The spool against a small server that keeps what MLflow would keep, and is away in every way there is."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.errors import InputError, UnavailableError
from tasks.stores import tracking
from tasks.stores.tracking import spool
from tasks.stores.tracking.spool import Entry, Point, deliver, keep, replay

RUN = "r" * 32
MOODS = ("well", "refuses", "fails", "loses the answer")


class Model:
    """MLflow's promises in a few lines: a point is kept once, the last tag and the last end win."""

    def __init__(self) -> None:
        self.points: list[tuple[Any, ...]] = []
        self.tags: dict[str, str] = {}
        self.ends: list[tuple[str, int]] = []

    def take(self, path: str, body: dict[str, Any]) -> None:
        if path.endswith("runs/log-batch"):
            for p in body.get("metrics", []):
                point = (p["key"], p["value"], int(p["timestamp"]), int(p.get("step", 0)))
                self.points += [point] if point not in self.points else []
            self.tags |= {tag["key"]: tag["value"] for tag in body.get("tags", [])}
        elif path.endswith("runs/update"):
            self.ends.append((str(body["status"]), int(body["end_time"])))


class Server:
    """A server whose mood changes."""

    def __init__(self) -> None:
        outer = self
        self.model, self.mood, self.poison = Model(), "well", "no run"
        self.awake = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if outer.mood == "hangs":
                    outer.awake.wait(30)
                ill = outer.poison.encode() in content
                if outer.mood in ("well", "loses the answer") and not ill:
                    outer.model.take(self.path, json.loads(content or b"{}"))
                if outer.mood in ("refuses", "loses the answer", "hangs"):
                    self.close_connection = True
                    self.connection.close()
                    return
                well = outer.mood == "well" and not ill
                answer = b"{}" if well else b""
                self.send_response(200 if well else 500)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def do_GET(self) -> None:
                self.do_POST()

            do_PATCH = do_POST

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    server = Server()
    yield server
    server.awake.set()
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def server(shared, tmp_path, monkeypatch) -> Server:
    shared.model, shared.mood, shared.poison = Model(), "well", "no run"
    shared.awake.clear()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared.address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("INGOT_HOME", str(tmp_path))
    monkeypatch.setattr(spool, "PAUSE_SECONDS", 0.0)
    return shared


def entry(server: Server, number: int, **more: Any) -> Entry:
    return Entry(
        address=server.address, run_id=RUN, points=(Point("loss", 1 / (number + 1), 1000 + number, number),), **more
    )


def waiting() -> list[Path]:
    return sorted(spool.folder().iterdir()) if spool.folder().exists() else []


@settings(max_examples=25, deadline=None)
@given(moods=st.lists(st.sampled_from(MOODS), min_size=1, max_size=8))
def test_any_interleaving_of_outages_leaves_the_history_of_an_undisturbed_run(shared, moods):
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("INGOT_HOME", home)
        patch.setenv("MLFLOW_TRACKING_URI", shared.address)
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        patch.setattr(spool, "PAUSE_SECONDS", 0.0)
        shared.model = Model()
        for number, mood in enumerate(moods):
            shared.mood = mood
            deliver(entry(shared, number, tags={"last": str(number)}))
        shared.mood = "well"
        deliver(Entry(address=shared.address, run_id=RUN, status="FINISHED", end_ms=77), again=True)
        assert waiting() == []
    assert shared.model.points == [("loss", 1 / (n + 1), 1000 + n, n) for n in range(len(moods))]
    assert shared.model.tags == {"last": str(len(moods) - 1)}
    assert shared.model.ends[-1] == ("FINISHED", 77)


def test_a_server_that_hangs_never_holds_up_a_loop(server):
    server.mood = "hangs"
    log = tracking.EpochLog(RUN, every_seconds=0.0)
    for step in range(20):
        log.report(step, {"loss": 1.0})  # a report that waited would wait for half a minute, and the test for ever
    assert len(waiting()) == 20
    server.mood = "well"
    server.awake.set()
    log.settle(30.0)
    assert [point[3] for point in server.model.points] == list(range(20))


def test_a_killed_process_loses_nothing_and_doubles_nothing(server, tmp_path):
    for number in range(5):
        keep(entry(server, number))
    code = """
import os
from tasks.stores.tracking import spool
real, told = spool.apply, []
def apply(entry):
    real(entry)
    told.append(entry)
    if len(told) == 3:
        os._exit(9)  # told, but not yet forgotten
spool.apply = apply
spool.replay()
"""
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 9
    assert [point[3] for point in server.model.points] == [0, 1, 2]
    assert len(waiting()) == 3
    replay()
    assert [point[3] for point in server.model.points] == [0, 1, 2, 3, 4]


def test_several_who_send_at_once_take_turns(server):
    threads = [
        threading.Thread(target=lambda k=k: [deliver(entry(server, 10 * k + i)) for i in range(5)]) for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    replay()
    assert sorted(point[3] for point in server.model.points) == sorted(10 * k + i for k in range(4) for i in range(5))
    assert waiting() == []


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b"\xff\xfe", b'{"address": 1}', b"[" * 100_000, b'"\\ud800"'])
def test_what_is_no_entry_is_put_aside_and_stands_in_nobodys_way(server, junk):
    spool.folder().mkdir(parents=True)
    (spool.folder() / "1-junk.json").write_bytes(junk)
    deliver(entry(server, 0))
    assert len(server.model.points) == 1
    assert [path.name for path in waiting()] == ["1-junk.broken"]


def test_while_the_disk_is_full_mlflow_is_told_at_once_and_a_loop_holds_its_points(server, monkeypatch):
    monkeypatch.setattr(spool, "MOST_BYTES", 0)
    deliver(entry(server, 0))
    server.mood = "fails"
    with pytest.raises(UnavailableError, match="does not answer"):
        deliver(entry(server, 1))
    log = tracking.EpochLog(RUN, every_seconds=0.0)
    log.report(2, {"loss": 1.0})
    server.mood = "well"
    monkeypatch.setattr(spool, "MOST_BYTES", 2**20)
    log.settle()
    assert [point[3] for point in server.model.points] == [0, 2]


def test_an_end_waits_with_its_own_time(server):
    server.mood = "fails"
    before = time.time_ns() // 1_000_000
    tracking.close_run(RUN, "KILLED", {"why": "cancelled"})
    after = time.time_ns() // 1_000_000
    server.mood = "well"
    replay()
    ((status, end),) = server.model.ends
    assert status in ("KILLED", "5") and before <= end <= after
    assert server.model.tags == {"why": "cancelled"}


def test_credentials_that_are_refused_lose_nothing(server, monkeypatch):
    def refuse(_: Entry) -> None:
        error = InputError("refused us")
        error.__cause__ = type("Refusal", (Exception,), {"error_code": "UNAUTHENTICATED"})()
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(spool, "apply", refuse)
        with pytest.raises(InputError, match="refused us"):
            deliver(entry(server, 0))
    with suppress(UnavailableError):
        replay()
    assert len(server.model.points) == 1


def test_a_run_that_a_sound_server_cannot_take_waits_and_the_others_do_not_wait_for_it(server):
    ill = "b" * 32
    server.poison = ill
    kept = [keep(entry(server, 0).model_copy(update={"run_id": ill})), keep(entry(server, 1))]
    kept.append(keep(Entry(address=server.address, run_id=ill, tags={"after": "the points"})))
    replay()
    assert [point[3] for point in server.model.points] == [1]
    assert server.model.tags == {}, "what comes later of a run does not come first"
    assert waiting() == [kept[0], kept[2]]
    server.poison = "no run"
    replay()
    assert sorted(point[3] for point in server.model.points) == [0, 1] and server.model.tags
    assert waiting() == []


def refusal(status: int) -> requests.HTTPError:
    answer = requests.Response()
    answer.status_code, answer.reason = status, "because"
    return requests.HTTPError(f"{status} Client Error", response=answer)


@pytest.mark.parametrize(
    ("failure", "left"),
    [
        (refusal(413), []),
        (PermissionError(13, "Permission denied", "/mlruns"), [".broken"]),
        (RuntimeError("an artifact store of the user's own"), [".broken"]),
        (refusal(429), [".json"]),
    ],
    ids=str,
)
def test_a_file_that_nobody_takes_stands_in_no_others_way(server, monkeypatch, failure, left):
    def fail(_: Entry) -> None:
        raise failure

    monkeypatch.setattr(spool, "_log_file", fail)
    keep(Entry(address=server.address, run_id="b" * 32, file="plots/pareto.png", content=""))
    deliver(entry(server, 0))
    assert len(server.model.points) == 1
    assert [path.suffix for path in waiting()] == left


def test_a_file_that_is_refused_for_want_of_rights_waits(server, monkeypatch):
    def fail(_: Entry) -> None:
        raise refusal(403)

    monkeypatch.setattr(spool, "_log_file", fail)
    with pytest.raises(InputError, match="MLFLOW_TRACKING_PASSWORD"):
        deliver(Entry(address=server.address, run_id=RUN, file="plots/pareto.png", content=""))
    assert [path.suffix for path in waiting()] == [".json"]
