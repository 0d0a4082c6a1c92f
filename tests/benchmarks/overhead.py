"""What the pipeline costs beyond its work: the flow of `digits` against the same steps called as plain functions.

Three things are timed in turns, `ROUNDS` times each, every run with a seed of its own so that nothing is unchanged:

* flow: `flows.retrain.retrain`, with Prefect around every step;
* plain: the bodies of the same steps, called one after the other in the same MLflow run;
* idle: a Prefect flow of as many steps that do nothing.

flow - plain is what Prefect and we add; flow - plain - idle is our own share. Needs a running stack (`ingot up`).
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from deployments.local.connection import connect
from deployments.local.settings import read_settings

ROUNDS = 3
SETTLED = {"prune": {"ratios": [0.5], "finetune_epochs": 3}, "train": {"epochs": 10}, "promote": {"policy": "never"}}
RESULTS = Path(__file__).parent / "results" / "overhead.json"


def main() -> None:
    """Time the three in turns, print and write the shares."""
    connect(read_settings(), print)  # before Prefect is imported: it reads its settings once
    from flows.retrain import retrain
    from tasks.contracts.config import RetrainConfig

    seeds = count(int(time.time()))

    def config() -> RetrainConfig:
        return RetrainConfig.model_validate({"model_name": "overhead", "seed": next(seeds) % 2**32, **SETTLED})

    steps = 0  # as many as the plain way reports, for the idle flow

    def counted() -> None:
        nonlocal steps
        steps = plainly(config())

    ways: dict[str, Callable[[], object]] = {
        "flow": lambda: retrain(config()),
        "plain": counted,
        "idle": lambda: idle(steps),
    }
    for way in ways.values():  # first calls import torch, export and fill caches
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    report(steps, {name: statistics.median(taken) for name, taken in seconds.items()})


def plainly(config: "RetrainConfig") -> int:  # noqa: F821
    """The steps of the flow without Prefect; how many they were."""
    from flows.search import search
    from flows.tracked_run import tracked_run
    from flows.trial import in_process
    from tasks.convert import convert
    from tasks.evaluate import evaluate
    from tasks.explain import explain
    from tasks.ingest import ingest
    from tasks.promote import promote
    from tasks.publish import publish
    from tasks.train import train

    done: list[str] = []
    call = in_process(done.append)
    with tracked_run(config) as run:
        dataset = call(ingest, config.ingest, run).result()
        found = search(call(train, dataset, config.train, run), dataset, config, run, call)
        verdict = call(evaluate, found.findings, dataset, config.evaluate, run).result()
        explanation = call(explain, verdict, dataset, run).result()
        formats = call(convert, verdict, dataset, config.export, run).result()
        challenger = call(publish, verdict, formats, explanation, dataset, run).result()
        call(promote, challenger, dataset, config.promote, run)
    return len(done)


def idle(steps: int) -> None:
    """A Prefect flow of tasks that do nothing, submitted one after the other like ours."""
    from prefect import flow

    from flows.retrain import ONE_AT_A_TIME
    from tasks.step import step

    @step(name="nothing")
    def nothing(after: object) -> None:
        """Does nothing."""

    @flow(name="idle", task_runner=ONE_AT_A_TIME)
    def idle_flow() -> None:
        future = None
        for _ in range(steps):
            future = nothing.submit(future)
        future.result()

    idle_flow()


def report(steps: int, medians: dict[str, float]) -> None:
    """Print and write the shares."""
    beyond = medians["flow"] - medians["plain"]
    ours = beyond - medians["idle"]
    figures = {
        "steps": steps,
        "rounds": ROUNDS,
        **{f"{name}_seconds": round(value, 3) for name, value in medians.items()},
        "flow_over_plain": round(medians["flow"] / medians["plain"], 3),
        "beyond_plain_ms_per_step": round(1000 * beyond / steps, 1),
        "beyond_prefect_ms_per_step": round(1000 * ours / steps, 1),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
    for name, value in figures.items():
        sys.stdout.write(f"{name:<28} {value}\n")
    sys.stdout.write("promise: beyond_prefect_ms_per_step < 50\n")


if __name__ == "__main__":
    main()
