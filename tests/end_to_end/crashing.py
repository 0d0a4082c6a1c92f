"""Publishes and promotes in children of one process, each of which can be killed; a test tells it what to do.

Torch, MLflow and Prefect take five seconds to import, so they are imported once. No child inherits a client or a
session of ONNX Runtime: this process makes none. It reads one line of JSON, a list of attempts that begin at once, and
answers with a list of what came of them.
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import boto3  # noqa: F401 (for the children)
import mlflow  # noqa: F401 (for the children)
import numpy as np
import onnx
import onnxruntime  # noqa: F401 (for the children)
import pandas as pd
from onnx import TensorProto, helper

from tasks.contracts.artifacts import Run
from tasks.contracts.config import PromoteConfig
from tasks.contracts.dataset import Dataset
from tasks.contracts.errors import IngotError, UnavailableError
from tasks.contracts.explanation import Explanation
from tasks.contracts.signature import signature_of
from tasks.contracts.verdict import Verdict
from tasks.contracts.version import ModelVersion
from tasks.datasets.build import build_dataset
from tasks.exporters import card, contest, golden, statement  # noqa: F401 (for the children)
from tasks.promote import promote
from tasks.publish import publish
from tasks.stores import tracking
from tasks.stores.datasets import opened, put_dataset
from tasks.stores.history import publication_of
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store
from tasks.stores.succession import crown
from tasks.stores.versions import published_before
from tests.tasks.exporters import measured

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Attempt:
    """What a child shall do."""

    act: Literal["prepare", "retrain", "rollback", "whole"]
    model: str = ""
    seed: int = 0
    """Names the result: another one is another run_key, and another graph."""
    error: float = 0.0
    """By how much the graph is wrong: whoever is less wrong is better."""
    policy: Literal["if_better", "always", "never"] = "if_better"
    to: str = ""
    """Where a rollback goes."""
    tries: int = 1
    """How often a step is tried, as Prefect does."""
    dataset: dict[str, Any] = field(default_factory=dict)
    home: str = ""
    """The folder of a whole retraining, see `resuming`."""
    most_bytes: int = 0
    """The limit on the size of its winner; 0 sets none."""
    failpoint: str = ""
    kill_after_seconds: float = 0.0
    """When it is killed; 0 lets it be."""


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    killed: bool
    seconds: float
    answer: dict[str, Any]
    error: str = ""


def retrain(attempt: Attempt) -> ModelVersion:
    """The end of the flow `retrain`: what comes after evaluation."""
    dataset = Dataset.model_validate(attempt.dataset)
    run_id = tracking.open_run(attempt.model, "retrain", {}, {})
    run = Run(model_name=attempt.model, seed=attempt.seed, config_digest="c", code_digest="k", mlflow_run_id=run_id)
    version = published_before(dataset, run)
    if version is None:
        verdict = verdict_of(attempt, dataset)
        version = tried(attempt.tries, lambda: publish.fn(verdict, (), Explanation(method="none"), dataset, run))
    return tried(attempt.tries, lambda: promote.fn(version, dataset, PromoteConfig(policy=attempt.policy), run))


def rollback(attempt: Attempt) -> ModelVersion:
    journal = Journal(Store.from_environment(), attempt.model)
    publication = publication_of(journal, attempt.to)
    entry = tried(attempt.tries, lambda: crown(journal, "rollback", publication, actor="ann", reason="worse"))
    return ModelVersion(model=attempt.model, version=entry.version, status="published", champion=True)


def prepare(_: Attempt) -> Dataset:
    """A dataset of 200 rows, y = a + b."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a": rng.normal(size=200).round(3), "b": rng.normal(size=200).round(3)})
    with tempfile.TemporaryDirectory() as folder:
        rows.assign(y=rows.a + rows.b).to_csv(Path(folder, "rows.csv"), index=False)
        return put_dataset(Store.from_environment(), build_dataset(Path(folder, "rows.csv"), Path(folder, "splits")))


ACTS: dict[str, Callable[[Attempt], Dataset | ModelVersion]] = {
    "prepare": prepare,
    "retrain": retrain,
    "rollback": rollback,
}


def verdict_of(attempt: Attempt, dataset: Dataset) -> Verdict:
    """What evaluation would say of a graph that answers (1 + error) (a + b)."""
    store = Store.from_environment()
    with opened(store, dataset) as data:
        schema = data.manifest.schema_
    found = measured.verdict()
    graph = store.put_bytes(graph_of(attempt.seed, attempt.error))
    winner = found.winner.model_copy(update={"file": graph})
    return found.model_copy(update={"metric_name": "rmse", "winner": winner, "signature": signature_of(schema)})


def graph_of(seed: int, error: float) -> bytes:
    """value = (1 + error) (a + b), under a name of its own."""
    weights = onnx.numpy_helper.from_array(np.full((2, 1), 1 + error, np.float32), "weights")
    flat = onnx.numpy_helper.from_array(np.array([-1], np.int64), "flat")
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["product"]),
        helper.make_node("Reshape", ["product", "flat"], ["value"]),
    ]
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 2])]
    outputs = [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["n"])]
    graph = helper.make_graph(nodes, f"seed-{seed}", inputs, outputs, [weights, flat])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def tried(times: int, step: Callable[[], Answer]) -> Answer:
    """A step, again after each lost answer."""
    for _ in range(times - 1):
        with suppress(UnavailableError):
            return step()
    return step()


def started(attempt: Attempt) -> tuple[int, int, float]:
    """A child at work: its process id, the pipe that its answer comes through, and when it began."""
    theirs = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs[1])
        return pid, theirs[0], time.monotonic()
    if attempt.failpoint:
        os.environ["INGOT_FAILPOINT"] = attempt.failpoint
    try:
        said: dict[str, Any] = {"answer": ACTS[attempt.act](attempt).model_dump(mode="json")}
    except IngotError as error:
        said = {"error": f"{type(error).__name__}: {error}"}
    with os.fdopen(theirs[1], "w") as pipe:
        json.dump(said, pipe)
    os._exit(0)


def ended(attempt: Attempt, pid: int, pipe: int, start: float) -> Outcome:
    """What came of a child, killed when its time has come."""
    done, status = 0, 0
    while attempt.kill_after_seconds and not done:
        if time.monotonic() > start + attempt.kill_after_seconds:
            os.kill(pid, signal.SIGKILL)
            break
        time.sleep(0.002)
        done, status = os.waitpid(pid, os.WNOHANG)
    with os.fdopen(pipe) as stream:
        text = stream.read()
    if not done:
        _, status = os.waitpid(pid, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    said = {} if killed else json.loads(text)
    return Outcome(killed, time.monotonic() - start, said.get("answer", {}), said.get("error", ""))


def main() -> None:
    """Answers line by line until nobody asks any more."""
    for line in sys.stdin:
        attempts = [Attempt(**each) for each in json.loads(line)]
        children = [started(attempt) for attempt in attempts]
        outcomes = [ended(attempt, *child) for attempt, child in zip(attempts, children, strict=True)]
        print(json.dumps([asdict(outcome) for outcome in outcomes]), flush=True)


if __name__ == "__main__":
    main()
