"""Each server is stopped for half of the epochs: nothing is lost, the run ends well, and nothing is left under way."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from deployments.local.health import ask_prefect
from tests.end_to_end.conftest import Stack, command

pytestmark = pytest.mark.end_to_end

EPOCHS = 30
RECIPE = [
    "digits", "--set", f"train.epochs={EPOCHS}", "--set", "train.hidden_sizes=[1024,1024,512]",
    "--set", "prune.ratios=[]", "--set", "quantize.schemes=[none]",
]  # fmt: skip
MEASURED = ("seconds", "p50_ms", "p95_ms", "speed_up")
"""Times, which no two runs share."""


def begin(stack: Stack, model: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command("run", *RECIPE, "--set", f"model_name={model}", "--json"),
        cwd=stack.root, env=stack.base, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def end(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def history(stack: Stack, model: str) -> dict[str, list[tuple[int, float]]]:
    """Step and value of every metric of the run and of those below it."""
    mlflow = stack.mlflow()
    experiment = mlflow.get_experiment_by_name(model)
    return {
        f"{run.data.tags.get('candidate', '') if 'mlflow.parentRunId' in run.data.tags else ''}:{metric}": [
            (point.step, point.value) for point in mlflow.get_metric_history(run.info.run_id, metric)
        ]
        for run in mlflow.search_runs([experiment.experiment_id])
        for metric in run.data.metrics
        if not metric.endswith(MEASURED) and not metric.startswith("system/")
    }


def states(stack: Stack, model: str) -> set[str]:
    """How MLflow and Prefect believe that a model's runs ended."""
    mlflow = stack.mlflow()
    runs = mlflow.search_runs([mlflow.get_experiment_by_name(model).experiment_id])
    flow_runs = {run.data.tags["prefect.flow_run_id"] for run in runs if "prefect.flow_run_id" in run.data.tags}
    assert flow_runs
    api = stack.addresses.prefect_api_url
    told = [ask_prefect("GET", f"{api}/flow_runs/{each}")["state_type"] for each in flow_runs]
    return {run.info.status for run in runs} | set(told)


def until(there: Callable[[], Any], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def trains(stack: Stack, model: str) -> bool:
    mlflow = stack.mlflow()
    experiment = mlflow.get_experiment_by_name(model)
    runs = mlflow.search_runs([experiment.experiment_id]) if experiment else []
    return any("train/loss" in run.data.metrics for run in runs)


def family(stack: Stack, part: str) -> list[psutil.Process]:
    (pid,) = (each["pid"] for each in stack.status()["parts"] if each["name"] == part)
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


@pytest.fixture(scope="module")
def undisturbed(stack) -> tuple[dict[str, Any], float]:
    """History of a run that nothing happens to, and how long it trained."""
    run = end(begin(stack, "calm"))
    return history(stack, "calm"), run["seconds"]["train"]


@pytest.mark.parametrize("part", ["mlflow", "prefect", "s3"])
def test_a_server_that_is_away_for_half_of_the_epochs_changes_nothing(stack, undisturbed, part):
    calm, train_seconds = undisturbed
    processes = family(stack, part)
    running = begin(stack, f"without-{part}")
    until(lambda: trains(stack, f"without-{part}"))
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(train_seconds / 2)
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
    run = end(running)
    assert run["status"] == "published"
    assert len(calm[":train/loss"]) == EPOCHS
    assert history(stack, f"without-{part}") == calm
    assert states(stack, f"without-{part}") == {"FINISHED", "COMPLETED"}
