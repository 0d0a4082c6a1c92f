"""How a body ends decides how its MLflow run ends, also while MLflow is away."""

import json
import signal
from pathlib import Path

import pytest
from prefect.exceptions import TerminationSignal

from flows.tracked_run import tracked_run
from tasks.contracts.config import RetrainConfig
from tasks.contracts.errors import DataError, UnavailableError
from tasks.stores import tracking


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RetrainConfig:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    return RetrainConfig.model_validate({"publish": {"bucket": (tmp_path / "store").as_uri()}})


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """MLflow is away for the first two tries to open a run, and again after it."""
    tries: list[str] = []

    def open_run(name: str, *_: object) -> str:
        tries.append(name)
        if len(tries) < 3:
            raise UnavailableError("MLflow does not answer")
        return "r"

    monkeypatch.setattr(tracking, "open_run", open_run)
    return tries


def ends(home: Path) -> list[str]:
    """The ends that wait to be told."""
    return [json.loads(path.read_text())["status"] for path in sorted((home / "spool").glob("*.json"))]


def test_a_server_that_is_away_at_the_start_is_waited_for_and_at_the_end_is_not(config, opened, tmp_path):
    with tracked_run(config) as run:
        assert run.mlflow_run_id == "r"
    assert len(opened) == 3
    assert ends(tmp_path) == ["FINISHED"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DataError("wrong"), "FAILED"),
        (ZeroDivisionError(), "FAILED"),
        (TerminationSignal(signal.SIGTERM), "KILLED"),
        (KeyboardInterrupt(), "KILLED"),
    ],
)
def test_what_ended_the_body_is_raised_and_told(config, opened, tmp_path, error, status):
    with pytest.raises(type(error)), tracked_run(config):
        raise error
    assert ends(tmp_path) == [status]


def test_who_has_no_patience_hears_the_clear_last_error(config, opened, monkeypatch):
    monkeypatch.setenv("INGOT_PATIENCE_SECONDS", "0")
    with pytest.raises(UnavailableError, match="MLflow does not answer"), tracked_run(config):
        pass
