"""Runs on a real MLflow server whose artifacts lie in a real S3."""

import json
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tasks.contracts.errors import DataError, InputError, UnavailableError
from tasks.contracts.schema import Feature, Schema
from tasks.stores import tracking
from tasks.stores.tracking import spool
from tasks.stores.tracking.client import address, client
from tasks.stores.tracking.metrics import points


@pytest.fixture
def name() -> str:
    return f"model-{secrets.token_hex(4)}"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run_of(run_id: str) -> Any:
    return client().get_run(run_id)


def test_a_run_lies_in_the_experiment_of_its_model(mlflow_address: str, name: str) -> None:
    run_id = tracking.open_run(name, "nightly", {"train.epochs": "3"}, {"data.digest": "d", "actor": "ann"})
    run = run_of(run_id)
    assert client().get_experiment(run.info.experiment_id).name == name
    assert run.info.run_name == "nightly"
    assert run.info.status == "RUNNING"
    assert run.data.params == {"train.epochs": "3"}
    assert run.data.tags["data.digest"] == "d"
    assert run.data.tags["mlflow.user"] == "ann"
    tracking.close_run(run_id, tags={"status": "published"})
    assert run_of(run_id).info.status == "FINISHED"
    assert run_of(run_id).data.tags["status"] == "published"


def test_a_broken_run_is_closed_as_failed(mlflow_address: str, name: str) -> None:
    run_id = tracking.open_run(name, "nightly", {}, {})
    tracking.close_run(run_id, "FAILED")
    assert run_of(run_id).info.status == "FAILED"


def test_a_flow_run_that_is_tried_again_takes_up_its_run(mlflow_address: str, name: str) -> None:
    flow_run = {"prefect.flow_run_id": secrets.token_hex(16)}
    first = tracking.open_run(name, "a", {"seed": "1"}, flow_run)
    tracking.child_run(first, "dense/none", {}, flow_run)
    tracking.close_run(first, "FAILED")
    assert tracking.open_run(name, "a", {"seed": "1"}, flow_run) == first
    assert run_of(first).info.status == "RUNNING"
    assert tracking.open_run(name, "a", {}, {"prefect.flow_run_id": "another"}) != first
    assert tracking.open_run(name, "a", {}, {"prefect.flow_run_id": ""}) != first


def test_runs_opened_at_once_share_one_new_experiment(mlflow_address: str, name: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda i: tracking.open_run(name, str(i), {}, {}), range(4)))
    assert len({run_of(run).info.experiment_id for run in runs}) == 1


def test_an_experiment_that_was_deleted_is_brought_back(mlflow_address: str, name: str) -> None:
    first = tracking.open_run(name, "a", {}, {})
    client().delete_experiment(run_of(first).info.experiment_id)
    second = tracking.open_run(name, "b", {}, {})
    assert client().get_experiment(run_of(second).info.experiment_id).lifecycle_stage == "active"


def test_candidates_are_nested_and_tried_again_only_once(mlflow_address: str, name: str) -> None:
    parent = tracking.open_run(name, "parent", {}, {})
    old = tracking.child_run(parent, "dense/none", {"within_budget": "true"}, {})
    other = tracking.child_run(parent, "dense/static", {}, {})
    new = tracking.child_run(parent, "dense/none", {"within_budget": "false"}, {"candidate": "dense/none"})
    found = client().search_runs([run_of(parent).info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert {run.info.run_id for run in found} == {new, other}
    assert run_of(old).info.lifecycle_stage == "deleted"
    assert run_of(new).data.params == {"within_budget": "false"}


def test_logs_more_params_tags_and_metrics_than_a_request_may_hold(mlflow_address: str, name: str) -> None:
    params = {f"p{i}": str(i) for i in range(250)}
    run_id = tracking.open_run(name, "many", params, {})
    tracking.set_tags(run_id, {f"t{i}": str(i) for i in range(250)})
    tracking.log_metrics(run_id, {f"m/{i}": i / 7 for i in range(2300)}, step=3)
    data = run_of(run_id).data
    assert data.params == params
    assert {f"t{i}": str(i) for i in range(250)}.items() <= data.tags.items()
    assert data.metrics == {f"m/{i}": i / 7 for i in range(2300)}
    assert client().get_metric_history(run_id, "m/1")[0].step == 3


def test_cuts_values_that_mlflow_would_refuse(mlflow_address: str, name: str) -> None:
    run_id = tracking.open_run(name, "long", {"ingest.features": "x" * 7000, "empty": ""}, {"reason": "y" * 9000})
    data = run_of(run_id).data
    assert data.params == {"ingest.features": "x" * 5997 + "...", "empty": ""}
    assert data.tags["reason"] == "y" * 7997 + "..."


@pytest.mark.parametrize(
    ("source", "kind", "place"),
    [
        ("data/digits.parquet", "local", {"uri": "data/digits.parquet"}),
        ("s3://bucket/rows.csv", "s3", {"uri": "s3://bucket/rows.csv"}),
        ("https://host/rows.csv", "http", {"url": "https://host/rows.csv"}),
    ],
)
def test_the_dataset_is_an_input_of_the_run(
    mlflow_address: str, name: str, source: str, kind: str, place: dict[str, str]
) -> None:
    import mlflow.data

    schema = Schema(
        task="classification",
        features=(
            Feature(name="age", kind="number", nullable=True),
            Feature(name="city", kind="category"),
        ),
        target="label",
        labels=("no", "yes"),
    )
    run_id = tracking.open_run(name, "data", {}, {})
    for _ in range(2):  # a step that is tried again logs it again
        tracking.log_dataset(
            run_id,
            name=name,
            digest="ab" * 32,
            source=source,
            schema=schema,
            rows={"train": 7, "validation": 2, "test": 1},
        )
    (logged,) = run_of(run_id).inputs.dataset_inputs
    assert (logged.dataset.name, logged.dataset.digest) == (name, "ab" * 18)
    assert logged.dataset.source_type == kind
    assert mlflow.data.get_source(logged).to_dict() == place
    assert json.loads(logged.dataset.profile) == {"num_rows": 10, "train_rows": 7, "validation_rows": 2, "test_rows": 1}
    assert json.loads(logged.dataset.schema)["mlflow_colspec"] == [
        {"type": "double", "name": "age", "required": False},
        {"type": "string", "name": "city", "required": True},
        {"type": "string", "name": "label", "required": True},
    ]


def test_logs_figures_texts_and_files(mlflow_address: str, name: str, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    run_id = tracking.open_run(name, "files", {}, {})
    figure = Figure()
    figure.subplots().plot([1, 2])
    tracking.log_figure(run_id, figure, "plots/curve.png")
    tracking.log_text(run_id, "# card\n", "card.md")
    (tmp_path / "table.json").write_text("{}")
    tracking.log_file(run_id, tmp_path / "table.json", "tables")
    tracking.log_file(run_id, tmp_path / "table.json")
    mlflow = client()
    assert {file.path for file in mlflow.list_artifacts(run_id)} == {"plots", "card.md", "tables", "table.json"}
    curve = Path(mlflow.download_artifacts(run_id, "plots/curve.png", str(tmp_path)))
    assert curve.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(DataError, match="absent is no file, but only files are logged"):
        tracking.log_file(run_id, tmp_path / "absent")


def test_the_address_of_a_run_opens_its_page(mlflow_address: str, name: str) -> None:
    run_id = tracking.open_run(name, "page", {}, {})
    experiment = run_of(run_id).info.experiment_id
    url = tracking.run_url(run_id)
    assert url == f"{mlflow_address}/#/experiments/{experiment}/runs/{run_id}"
    with urllib.request.urlopen(url.partition("#")[0]) as answer:
        assert answer.status == 200


def test_an_address_never_shows_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.stores.registry import version_url

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:hunter2@mlflow.example:8443/sub/")
    assert version_url("digits", "3") == "https://mlflow.example:8443/sub/#/models/digits/versions/3"


# epochs


@dataclass(frozen=True)
class Epoch:
    number: int
    train_loss: float = 0.5
    validation_loss: float = 0.6
    metric: float = 0.7
    learning_rate: float = 0.1
    seconds: float = 0.01
    ended_ms: int = 0


def history(run_id: str, metric: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client().get_metric_history(run_id, metric)]


def entry(run_id: str) -> spool.Entry:
    return spool.Entry(address=address(), run_id=run_id, points=tuple(points({"loss": 0.25}, step=1)))


def sent(log: tracking.EpochLog) -> None:
    """Waits until the thread that sends has ended."""
    log._join(time.monotonic() + 30)


def test_epochs_are_sent_in_batches_and_all_at_the_end(mlflow_address: str, name: str) -> None:
    run_id = tracking.open_run(name, "epochs", {}, {})
    with tracking.EpochLog(run_id, prefix="train", most_points=10) as log:
        log(Epoch(1, train_loss=0.9))
        assert history(run_id, "train/loss") == []
        log(Epoch(2, train_loss=0.8))
        sent(log)
        assert history(run_id, "train/loss") == [(1, 0.9), (2, 0.8)]
        log(Epoch(3, train_loss=0.7))
    assert history(run_id, "train/loss") == [(1, 0.9), (2, 0.8), (3, 0.7)]
    assert history(run_id, "train/validation_loss") == [(1, 0.6), (2, 0.6), (3, 0.6)]
    assert history(run_id, "train/validation_metric") == [(1, 0.7), (2, 0.7), (3, 0.7)]


def test_epochs_that_a_resumed_training_reports_again_stand_once(mlflow_address: str, name: str) -> None:
    run_id = tracking.open_run(name, "epochs", {}, {})
    for _ in range(2):
        with tracking.EpochLog(run_id, prefix="train") as log:
            log(Epoch(1, ended_ms=1_000))
            log(Epoch(2, ended_ms=2_000))
    assert history(run_id, "train/loss") == [(1, 0.5), (2, 0.5)]
    (first, _) = client().get_metric_history(run_id, "train/loss")
    assert first.timestamp == 1_000


def test_curves_are_copied_up_to_the_epoch_that_the_result_holds_and_no_others(mlflow_address: str, name: str) -> None:
    before, run_id = (tracking.open_run(name, each, {}, {}) for each in ("before", "now"))
    with tracking.EpochLog(before, prefix="channels-50") as log:
        for number in (1, 2, 3):
            log(Epoch(number))
    tracking.log_metrics(before, {"channels-50/qat/loss": 0.5}, step=1)
    tracking.copy_curves(before, run_id, "channels-50", last_step=2)
    assert history(run_id, "channels-50/loss") == [(1, 0.5), (2, 0.5)]
    assert history(run_id, "channels-50/qat/loss") == []


def test_epochs_are_sent_when_it_is_time(mlflow_address: str, name: str) -> None:
    run_id = tracking.open_run(name, "epochs", {}, {})
    log = tracking.EpochLog(run_id, every_seconds=0.0)
    log.report(1, {"loss": 0.5})
    sent(log)
    assert history(run_id, "loss") == [(1, 0.5)]


def test_what_was_reported_before_a_crash_is_not_lost(mlflow_address: str, name: str) -> None:
    run_id = tracking.open_run(name, "epochs", {}, {})
    with pytest.raises(ZeroDivisionError), tracking.EpochLog(run_id) as log:
        log.report(1, {"loss": 0.5})
        raise ZeroDivisionError
    assert history(run_id, "loss") == [(1, 0.5)]


def test_metrics_survive_an_mlflow_that_is_down_and_arrive_in_order_and_once(
    door: "Door", name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = tracking.open_run(name, "epochs", {}, {})
    monkeypatch.setattr("tasks.stores.tracking.spool.PAUSE_SECONDS", 0.0)
    with tracking.EpochLog(run_id, every_seconds=0.0) as log:
        log.report(1, {"loss": 0.9, "odd": float("nan")})
        sent(log)
        door.shut()
        for step in range(2, 6):
            log.report(step, {"loss": 1 / step})
        sent(log)
        assert len(list((home / "spool").iterdir())) == 4
        door.is_open = True
        assert history(run_id, "loss") == [(1, 0.9)]
        log.report(6, {"loss": 0.1})
    assert history(run_id, "loss") == [(1, 0.9), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4), (5, 1 / 5), (6, 0.1)]
    assert list((home / "spool").iterdir()) == []


def test_metrics_that_wait_are_sent_once_although_the_first_answer_was_lost(
    mlflow_address: str, name: str, home: Path
) -> None:
    run_id = tracking.open_run(name, "epochs", {}, {})
    gathered = entry(run_id)
    spool.apply(gathered)  # arrived, but suppose that we were not told
    spool.keep(gathered)
    tracking.close_run(run_id)
    assert history(run_id, "loss") == [(1, 0.25)]


def test_metrics_of_a_run_that_is_gone_do_not_stand_in_the_way(mlflow_address: str, name: str, home: Path) -> None:
    run_id = tracking.open_run(name, "gone", {}, {})
    client().delete_run(run_id)
    spool.keep(entry(run_id))
    spool.keep(entry("0" * 32))
    assert tracking.open_run(name, "next", {}, {})
    assert list((home / "spool").iterdir()) == []


def test_metrics_for_another_server_wait_for_that_one(
    mlflow_address: str, name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        spool.keep(entry("0" * 32))
    tracking.open_run(name, "next", {}, {})
    assert len(list((home / "spool").iterdir())) == 1


def test_a_silent_mlflow_is_left_alone_for_a_while(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Refusing(monkeypatch, 503) as server:
        log = tracking.EpochLog("0" * 32, every_seconds=0.0)
        for step in range(5):
            log.report(step, {"loss": 0.5})
        sent(log)
        asked = server.requests
        log.flush()
        sent(log)
        assert server.requests == asked <= 4
    assert len(list((home / "spool").iterdir())) == 5


# what can go wrong


class Refusing:
    """A server that gives every request the same answer."""

    def __init__(self, patch: pytest.MonkeyPatch, status: int, body: bytes = b"") -> None:
        outer = self
        self.requests = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_GET

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        patch.setenv("MLFLOW_TRACKING_URI", f"http://{self.address}")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")

    def __enter__(self) -> "Refusing":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class Door:
    """An address in front of MLflow that can be shut: then whoever knocks is turned away."""

    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("http://").partition(":")
        self.target = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.is_open = True
        self.open_sockets: list[socket.socket] = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        with suppress(OSError):
            while True:
                guest, _ = self.listener.accept()
                if not self.is_open:
                    guest.close()
                    continue
                host = socket.create_connection(self.target)
                self.open_sockets += [guest, host]
                for one, other in ((guest, host), (host, guest)):
                    threading.Thread(target=self.carry, args=(one, other), daemon=True).start()

    def carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while piece := one.recv(65536):
                other.sendall(piece)
            other.shutdown(socket.SHUT_WR)

    def shut(self) -> None:
        self.is_open = False
        for connection in self.open_sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.shut()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def door(mlflow_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    door = Door(mlflow_address)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", door.address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    yield door
    door.close()


def test_says_that_mlflow_is_down(door: Door, name: str) -> None:
    door.shut()
    with pytest.raises(UnavailableError) as caught:
        tracking.open_run(name, "a", {}, {})
    assert str(caught.value) == (
        f"MLflow at {door.address} does not answer (Connection aborted): "
        "run `ingot up`, or point MLFLOW_TRACKING_URI at a server that runs"
    )


def test_says_within_seconds_that_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    start = time.monotonic()
    with pytest.raises(UnavailableError, match=rf"MLflow at http://127.0.0.1:{port} does not answer .Connection refus"):
        tracking.run_url("0" * 32)
    assert time.monotonic() - start < 20


def test_artifacts_fail_in_one_line_too(door: Door, name: str, tmp_path: Path) -> None:
    run_id = tracking.open_run(name, "a", {}, {})
    (tmp_path / "file").write_text("x")
    door.shut()
    with pytest.raises(UnavailableError, match="does not answer"):
        tracking.log_file(run_id, tmp_path / "file")


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (401, b"", InputError, "refused us .UNAUTHENTICATED., but must know us: set MLFLOW_TRACKING_USERNAME and"),
        (403, b"", InputError, "refused us .PERMISSION_DENIED., but must know us"),
        (404, b"<html>", InputError, "answers, but not as MLflow does: point MLFLOW_TRACKING_URI at an MLflow server"),
        (200, b"<html>", InputError, "answers, but not as MLflow does"),
        (500, b"", UnavailableError, "does not answer .too many 500 error responses.: run `ingot up`"),
    ],
)
def test_each_refusal_is_one_line_in_our_words(
    monkeypatch: pytest.MonkeyPatch, name: str, *, status: int, body: bytes, error: type[Exception], words: str
) -> None:
    with Refusing(monkeypatch, status, body) as server, pytest.raises(error, match=words) as caught:
        tracking.open_run(name, "a", {}, {})
    assert server.address in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_mlflow_refuses_is_one_line(mlflow_address: str, name: str) -> None:
    with pytest.raises(InputError, match="refused: RESOURCE_DOES_NOT_EXIST: Run with id=0{32} not found") as caught:
        tracking.run_url("0" * 32)
    assert "\n" not in str(caught.value)
    run_id = tracking.open_run(name, "a", {"p": "1"}, {})
    with pytest.raises(InputError, match="Changing param values is not allowed") as caught:
        tracking.log_params(run_id, {"p": "2"})
    assert "\n" not in str(caught.value)


def test_asks_for_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InputError, match="MLFLOW_TRACKING_URI is empty, but runs are tracked by a server: run `ingot"):
        tracking.open_run("digits", "a", {}, {})


def test_writes_nothing_to_standard_output_and_loads_mlflow_only_when_asked(mlflow_address: str, name: str) -> None:
    code = f"""
import sys
from tasks.stores import registry, tracking
assert "mlflow" not in sys.modules and "torch" not in sys.modules
tracking.close_run(tracking.open_run({name!r}, "a", {{}}, {{}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_all_that_is_told_while_mlflow_is_away_arrives_later(door: Door, name: str, home: Path) -> None:
    from matplotlib.figure import Figure

    run_id = tracking.open_run(name, "away", {}, {})
    door.shut()
    tracking.log_params(run_id, {"p": "1"})
    tracking.set_tags(run_id, {"status": "first"})
    tracking.set_tags(run_id, {"status": "last"})
    tracking.log_metrics(run_id, {"loss": 0.5}, step=3)
    tracking.log_text(run_id, "häuser", "notes/card.md")
    tracking.log_figure(run_id, Figure(), "plots/empty.png")
    tracking.close_run(run_id, "FAILED")
    door.is_open = True
    tracking.open_run(name, "next", {}, {})
    run = run_of(run_id)
    assert (run.info.status, run.data.params, run.data.tags["status"]) == ("FAILED", {"p": "1"}, "last")
    assert history(run_id, "loss") == [(3, 0.5)]
    assert [each.path for each in client().list_artifacts(run_id, "plots")] == ["plots/empty.png"]
    path = client().download_artifacts(run_id, "notes/card.md", str(home))
    assert Path(path).read_text() == "häuser"
    assert list((home / "spool").iterdir()) == []
