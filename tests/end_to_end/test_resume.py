"""A retraining that is killed anywhere and run again repeats only what was cut, and ends in what it would have been.

Every run is a process of its own that is really killed, with a store and checkpoints of its own, and the real MLflow.
"""

import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tasks.stores.failpoints import REMEMBERED
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store
from tests.end_to_end.crashing import Attempt
from tests.end_to_end.test_crashes import Crashing

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(3000)]

RANDOM_CUTS = int(os.environ.get("INGOT_RANDOM_CUTS", "30"))
AT_ONCE = 3
"""Runs that are killed side by side."""
MOMENTS = ("before_result", "after_result")
COMMITS = ("training.after_epoch", "publish.before_anything", "publish.after_commit", "promote.after_commit")

numbers = count()


@pytest.fixture(scope="module")
def environment(stack) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (stack.environment | {"OMP_NUM_THREADS": "1"}).items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def resuming(environment) -> Iterator[Crashing]:
    command = [sys.executable, "-m", "tests.end_to_end.resuming"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Crashing(process)
        assert process.stdin
        process.stdin.close()


@pytest.fixture
def another(tmp_path):
    """A run that nothing is known of yet."""

    def attempt(**more: Any) -> Attempt:
        name = f"resumed-{next(numbers)}"
        (tmp_path / name).mkdir()
        return Attempt("whole", name, home=str(tmp_path / name), **more)

    return attempt


@pytest.fixture(scope="module")
def twin(resuming, tmp_path_factory) -> tuple[str, Counter[str], float]:
    """The graph, the trace and the seconds of a run that nobody disturbed."""
    attempt = Attempt("whole", "undisturbed", home=str(tmp_path_factory.mktemp("undisturbed")))
    (outcome,) = resuming(attempt)
    assert outcome.error == ""
    return graph_of(attempt), trace_of(attempt), outcome.seconds


def journal_of(attempt: Attempt) -> Journal:
    return Journal(Store.from_environment(f"file://{attempt.home}/store"), attempt.model)


def graph_of(attempt: Attempt) -> str:
    """SHA-256 of the graph of the one version that there is, which is champion."""
    journal = journal_of(attempt)
    assert [entry.action for entry in journal.entries()] == ["publish", "promote"]
    (publication, _) = journal.entries()
    (graph,) = (f for f in journal.get_manifest(publication.manifest).files if f.path == "model.onnx")
    return str(graph.artifact.sha256)


def trace_of(attempt: Attempt) -> Counter[str]:
    """How often each body and each epoch was begun."""
    trace = Path(attempt.home, "trace")
    return Counter(trace.read_text().splitlines() if trace.exists() else [])


def assert_resumed(attempt: Attempt, twin: tuple[str, Counter[str], float], stack: Any, kills: int = 1) -> None:
    """What stands is what the twin made; each kill cost at most one body and one epoch."""
    graph, undisturbed, _ = twin
    assert graph_of(attempt) == graph
    trace = trace_of(attempt)
    assert {line for line in trace if not line.startswith("body survey")} == set(undisturbed)
    for kind in ("body", "epoch"):
        assert sum(each - 1 for line, each in trace.items() if line.startswith(kind)) <= kills
    assert len(stack.mlflow().search_model_versions(f"name = '{attempt.model}'")) == 1
    assert not list(Path(attempt.home, "home", "checkpoints").glob("*"))
    shutil.rmtree(attempt.home)


def undisturbed(attempt: Attempt) -> Attempt:
    return replace(attempt, failpoint="", kill_after_seconds=0)


@pytest.mark.parametrize("points", [*([f"{step}.{m}" for m in MOMENTS] for step in REMEMBERED), COMMITS], ids="/".join)
def test_killed_at_a_point_it_repeats_at_most_the_step_that_was_cut(resuming, stack, another, twin, points):
    limit = 10**6 if "survey.after_result" in points else 0
    attempts = [another(failpoint=f"{point}:kill", most_bytes=limit) for point in points]
    assert all(outcome.killed for outcome in resuming(*attempts))
    assert [outcome.error for outcome in resuming(*map(undisturbed, attempts))] == [""] * len(attempts)
    for attempt in attempts:
        repeated = [line for line, times in trace_of(attempt).items() if times > 1]
        is_cut = "before_result" in attempt.failpoint or "after_epoch" in attempt.failpoint
        assert len(repeated) == is_cut, (attempt.failpoint, repeated)
        assert all(line.startswith("body") for line in repeated), "no epoch that stood is trained again"
        assert_resumed(attempt, twin, stack)


def test_killed_at_random_times_it_ends_in_the_same_bytes(resuming, stack, another, twin):
    """One in three is killed once more when it is run again."""
    chance, longest = random.Random(0), twin[2]
    for begun in range(0, RANDOM_CUTS, AT_ONCE):
        attempts = [another() for _ in range(min(AT_ONCE, RANDOM_CUTS - begun))]
        kills = Counter[str]()
        for _ in range(1 + (chance.random() < 1 / 3)):
            cut = [replace(each, kill_after_seconds=chance.uniform(0.001, longest)) for each in attempts]
            for attempt, outcome in zip(attempts, resuming(*cut), strict=True):
                kills[attempt.model] += outcome.killed
        assert [outcome.error for outcome in resuming(*attempts)] == [""] * len(attempts)
        for attempt in attempts:
            assert_resumed(attempt, twin, stack, kills[attempt.model])
