"""Drift on the real stack: exit codes, the report in Prefect and MLflow, the event, the server's samples."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pandas as pd
import pytest

from tests.end_to_end.conftest import ROOT

pytestmark = pytest.mark.end_to_end
NAME = "drifting"
QUICK = ["--set", f"model_name={NAME}", "--set", "train.epochs=3", "--set", "prune.ratios=[]"]
QUICK += ["--set", "quantize.schemes=[none]"]


@pytest.fixture(scope="module")
def frame(stack) -> pd.DataFrame:
    """Rows like those that the champion learned from."""
    stack.run("diabetes", *QUICK)
    return pd.read_csv(ROOT / "data/diabetes.csv")


def judged(stack, source: Path | str, code: int, *more: str) -> dict:
    done = stack.ingot("drift", NAME, *([str(source)] if source else []), *more, "--json")
    assert done.returncode == code, done.stderr + done.stdout
    return json.loads(done.stdout.splitlines()[-1]) if code != 2 else {"error": done.stderr}


def events(stack) -> list[dict]:
    """Those of this model that tell of drift."""
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    asked = {
        "filter": {
            "event": {"name": ["ingot.drift.detected"]},
            "resource": {"id": [f"ingot.model.{NAME}"]},
            "occurred": {"since": since},
        }
    }
    found = httpx.post(f"{stack.addresses.prefect_api_url}/events/filter", json=asked).json()["events"]
    return [event for event in found if event["event"] == "ingot.drift.detected"]


def test_drift_is_shown_kept_and_told_and_no_drift_is_not_told(stack, frame, tmp_path):
    same, moved = tmp_path / "same.csv", tmp_path / "moved.csv"
    frame.sample(300, random_state=1).to_csv(same, index=False)
    frame.assign(bmi=frame["bmi"] + frame["bmi"].std()).to_csv(moved, index=False)
    assert judged(stack, same, 0)["drifted"] is False
    assert events(stack) == []
    found = judged(stack, moved, 3)
    assert "bmi (PSI" in found["reason"] and not found["notes"]

    asked = {"artifacts": {"key": {"any_": [f"{NAME}-drift"]}}, "sort": "CREATED_DESC"}
    newest, *_ = httpx.post(f"{stack.addresses.prefect_api_url}/artifacts/filter", json=asked).json()
    assert newest["description"] == found["reason"]
    assert "| bmi | feature | yes |" in newest["data"] and "data:image/png;base64," in newest["data"]

    mlflow = stack.mlflow()
    experiment = mlflow.get_experiment_by_name(NAME).experiment_id
    runs = mlflow.search_runs([experiment], "tags.kind = 'drift'", order_by=["attributes.start_time DESC"])
    assert [run.data.tags["drifted"] for run in runs] == ["true", "false"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    bmi = next(column for column in found["columns"] if column["name"] == "bmi")
    assert runs[0].data.metrics["psi.bmi"] == pytest.approx(bmi["psi"])
    kept = {file.path for file in mlflow.list_artifacts(runs[0].info.run_id)}
    assert kept == {"report.json", "report.md", "plots"}

    end = time.monotonic() + 20
    while not (told := events(stack)) and time.monotonic() < end:
        time.sleep(0.3)
    (event,) = told
    assert event["payload"]["reason"] == found["reason"] and event["payload"]["model"] == NAME


def test_the_samples_of_the_server_are_judged_and_what_cannot_be_is_refused(stack, frame):
    nothing = judged(stack, "", 2, "--samples")
    assert "error: the server has kept no rows of 'drifting'" in nothing["error"]
    time_now = datetime.now(UTC)
    facts = {"ingot_answer": 1.0, "ingot_version": "1", "ingot_time": time_now.isoformat()}
    rows = frame.drop(columns="target").assign(bp=0.0).head(200).to_dict("records")
    content = "\n".join(json.dumps(row | facts) for row in rows).encode()
    stack.journal(NAME).store.create(f"samples/{NAME}/{time_now:%Y-%m-%d}/1.jsonl", content)
    found = judged(stack, "", 3, "--since", "1h")
    assert found["rows"] == 200 and "bp (PSI" in found["reason"]
    unknown = stack.ingot("drift", "driftin")
    assert unknown.returncode == 2 and "did you mean 'drifting'" in unknown.stderr
    assert "Traceback" not in unknown.stderr
