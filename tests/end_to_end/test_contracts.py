"""A champion exists and the next source is broken: refused in one line, or trained without the broken rows."""

from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.end_to_end

QUICK = [
    "train.epochs=4",
    "train.hidden_sizes=[8]",
    "prune.ratios=[]",
    "quantize.schemes=[none]",
    "promote.policy=never",
]
MODEL = "held"


def source(folder: Path, *broken: tuple[object, str, str]) -> Path:
    rng = np.random.default_rng(len(broken))
    age = rng.integers(18, 80, 300)
    frame = pd.DataFrame(
        {"age": age, "city": rng.choice(["Oslo", "Bergen"], 300), "label": np.where(age > 45, "old", "young")}
    )
    path = folder / "people.csv"
    pd.concat([frame, pd.DataFrame(broken, columns=frame.columns)]).to_csv(path, index=False)
    return path


def asked(path: Path, *more: str) -> list[str]:
    fields = [f"model_name={MODEL}", f"ingest.source={path}", "ingest.task=classification", *QUICK, *more]
    return [word for field in fields for word in ("--set", field)]


@pytest.fixture(scope="module")
def champion(stack, tmp_path_factory) -> dict:
    first = stack.run("digits", *asked(source(tmp_path_factory.mktemp("first")), "promote.policy=always"))
    assert first["champion"], first
    return first


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> Path:
    return source(
        tmp_path_factory.mktemp("next"), ("forty", "Oslo", "young"), (30, "Rome", "young"), (31, "Oslo", "young")
    )


def test_a_broken_source_is_refused_in_one_line_and_nothing_is_published(champion, broken, stack):
    before = stack.journal(MODEL).entries()
    refused = stack.ingot("run", "digits", *asked(broken))
    assert refused.returncode == 2, refused.stderr
    (error,) = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
    assert (
        "column 'age' is 'forty' in row 301 of people.csv, but the contract of version 1 holds numbers there: "
        "mend the cell, or set ingest.contract to quarantine"
    ) in error
    assert "Traceback" not in refused.stderr + refused.stdout
    assert stack.journal(MODEL).entries() == before
    assert len(stack.mlflow().search_model_versions(f"name='{MODEL}'")) == 1


def test_by_choice_the_broken_rows_are_put_aside_counted_and_seen(champion, broken, stack, tmp_path):
    run = stack.run("digits", *asked(broken, "ingest.contract=quarantine"))
    assert run["status"] == "published"
    client = stack.mlflow()
    tags = client.get_run(run["mlflow_run_id"]).data.tags
    assert (tags["data.contract"], tags["data.quarantine.rows"]) == ("version 1", "2")
    report = Path(client.download_artifacts(run["mlflow_run_id"], "data_report.md", str(tmp_path))).read_text()
    assert "**2 of 303 rows break it**" in report and "| city | category | 1 | row 302 of people.csv |" in report
    assert tags["data.quarantine.uri"] in report
    asked_for = {"artifacts": {"key": {"any_": [f"{MODEL}-data"]}, "flow_run_id": {"any_": [run["flow_run_id"]]}}}
    artifacts = httpx.post(f"{stack.addresses.prefect_api_url}/artifacts/filter", json=asked_for).json()
    assert [each["data"] for each in artifacts] == [report]
