"""Without a run id nothing is tracked: no server is asked, no library imported, no file spooled."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.contracts.schema import Feature, Schema
from tasks.contracts.signature import Signature
from tasks.stores import tracking


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    return tmp_path


def test_nothing_is_logged_without_a_run(nobody: Path) -> None:
    schema = Schema(task="regression", features=(Feature(name="age", kind="number"),), target="price")
    tracking.log_metrics("", {"loss": 1.0}, step=3)
    tracking.log_params("", {"a": "b"})
    tracking.set_tags("", {"a": "b"})
    tracking.log_dataset("", name="rows", digest="d", source="rows.csv", schema=schema, rows={"train": 1})
    tracking.log_figure("", object(), "plot.png")
    tracking.log_text("", "text", "card.md")
    tracking.log_file("", nobody / "absent")
    tracking.close_run("", "FAILED", {"a": "b"})
    assert list(nobody.iterdir()) == []


def test_what_would_be_made_without_a_run_has_no_name(nobody: Path) -> None:
    assert tracking.child_run("", "dense/none", {}, {}) == ""
    assert tracking.run_url("") == ""
    assert tracking.log_onnx_model("", nobody / "absent", Signature(inputs=(), outputs=()), {}) == ""


def test_epochs_are_let_go_without_a_run(nobody: Path) -> None:
    with tracking.EpochLog("", most_points=1) as log:
        log.report(1, {"loss": 1.0})
    assert list(nobody.iterdir()) == []


def test_every_function_of_a_run_knows_how_to_be_silent() -> None:
    functions = {name for name in tracking.__all__ if inspect.isfunction(getattr(tracking, name))} - {"open_run"}
    assert {name for name in functions if not hasattr(getattr(tracking, name), "__wrapped__")} == set()


def test_mlflow_is_not_imported_without_a_run() -> None:
    script = """
import sys
from tasks.stores import tracking
tracking.close_run(tracking.child_run("", "a", {}, {}))
with tracking.EpochLog("") as log:
    log.report(1, {"loss": 1.0})
assert "mlflow" not in sys.modules and "requests" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
