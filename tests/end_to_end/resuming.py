"""Whole retrainings in children of one process, each of which can be killed; see `crashing` for how they are asked for.

The steps are those of the flow, in its order, with its search; only Prefect is left out. In the folder of an attempt
are its store, its checkpoints, and a trace: a line for each body that was begun, and for each epoch.
"""

import gc
import importlib
import io
import os
from pathlib import Path

import numpy as np
import torch._inductor

import tasks.compressors.structure
import tasks.exporters.measuring
import tasks.exporters.prospect
import tasks.exporters.run_report  # noqa: F401 (for the children)
from flows.search import search
from flows.tracked_run import tracked_run
from flows.trial import in_process
from tasks import recall
from tasks.contracts.config import RetrainConfig
from tasks.contracts.version import ModelVersion
from tasks.convert import convert
from tasks.evaluate import evaluate
from tasks.explain import explain
from tasks.exporters import plots
from tasks.exporters.onnx_graph import export_network
from tasks.ingest import ingest
from tasks.promote import promote
from tasks.publish import publish
from tasks.stores.contracts import contract_of
from tasks.stores.failpoints import REMEMBERED
from tasks.stores.ingredients import parts_of
from tasks.stores.versions import published_before
from tasks.train import train
from tasks.trainers import loop
from tests.end_to_end import crashing
from tests.end_to_end.crashing import Attempt

RECIPE = {
    "ingest": {"source": "data/diabetes.csv"},
    "train": {"epochs": 3, "hidden_sizes": [16, 8], "batch_size": 64},
    "prune": {"ratios": [0.25, 0.5, 0.75], "finetune_epochs": 3},
    "quantize": {"schemes": ["none"]},
    "evaluate": {"max_drop": 50},
}
"""Comes to every step that is remembered, but for the survey: that asks for a limit."""


def whole(attempt: Attempt) -> ModelVersion:
    """The flow `retrain`, step by step."""
    home = Path(attempt.home)
    os.environ["INGOT_HOME"] = str(home / "home")
    publishing = {"bucket": f"file://{home / 'store'}"}
    limits = RECIPE["evaluate"] | {"max_size_bytes": attempt.most_bytes or None}
    config = RetrainConfig.model_validate(
        {"model_name": attempt.model, "publish": publishing, **RECIPE, "evaluate": limits}
    )
    call = in_process(traced(home / "trace"))
    with tracked_run(config) as run:
        dataset = call(ingest, config.ingest, run, contract_of(config.ingest, run)).result()
        if known := published_before(dataset, run):
            return call(promote, known, dataset, config.promote, run).result()
        found = search(call(train, dataset, config.train, run), dataset, config, run, call)
        verdict = call(evaluate, found.findings, dataset, config.evaluate, run)
        explanation = call(explain, verdict, dataset, run)
        formats = call(convert, verdict, dataset, config.export, run)
        challenger = call(publish, verdict, formats, explanation, dataset, run)
        return call(promote, challenger, dataset, config.promote, run).result()


def traced(trace: Path):
    """A callable that is told each step; from now on the trace is told which of them are begun, and their epochs."""
    now, failpoint, epoch = "", recall.failpoint, loop._Training._epoch

    def write(line: str) -> None:
        with trace.open("a") as file:
            file.write(f"{line}\n")

    def told(step: str) -> None:
        nonlocal now
        now = step

    def passed(point: str) -> None:
        if point.endswith(".before_body"):
            write(f"body {now}")
        failpoint(point)

    def begun(training: loop._Training, number: int) -> loop.Epoch:
        write(f"epoch {number} of {now}")
        return epoch(training, number)

    recall.failpoint, loop._Training._epoch = passed, begun
    return told


def running() -> int:
    """How many threads this process has."""
    return len(list(Path("/proc/self/task").iterdir()))


def warm() -> None:
    """What every process does once, and takes seconds: the children inherit it.

    Nothing here may leave a thread behind: no child inherits it, and one might wait for it for ever.
    """
    threads = running()
    for step in REMEMBERED:
        parts_of({}, importlib.import_module(f"tasks.{step}").__name__)
    export_network(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU()).eval(), np.zeros((2, 2), np.float32), 20)
    plots.learning_curve([2.0, 1.0], [2.0, 1.0]).savefig(io.BytesIO())
    gc.collect()
    gc.freeze()
    assert running() == threads


crashing.ACTS["whole"] = whole

if __name__ == "__main__":
    warm()
    crashing.main()
