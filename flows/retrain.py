"""The retraining flow: one challenger out of fresh data."""

from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.plan import announce
from flows.run_name import run_name
from flows.search import search
from flows.tracked_run import tracked_run
from tasks.contracts.config import RetrainConfig
from tasks.contracts.version import ModelVersion
from tasks.convert import convert
from tasks.evaluate import evaluate
from tasks.explain import explain
from tasks.ingest import ingest
from tasks.promote import promote
from tasks.publish import publish
from tasks.step import settled
from tasks.stores.contracts import contract_of
from tasks.stores.patience import patiently
from tasks.stores.versions import published_before
from tasks.train import train

ONE_AT_A_TIME: Any = ThreadPoolTaskRunner(max_workers=1)
"""Training uses every core by itself, and dropout draws from the one generator of the process."""


@flow(
    name="retrain",
    flow_run_name=run_name,
    task_runner=ONE_AT_A_TIME,
)
def retrain(config: RetrainConfig = RetrainConfig()) -> ModelVersion:
    """Make one challenger out of fresh data, and promote it if it earns it.

    Args:
        config: Every knob of the run.
    """
    with tracked_run(config) as run:
        announce(config)
        contract = patiently(lambda: contract_of(config.ingest, run))
        dataset = ingest.submit(config.ingest, run, contract).result()
        if known := patiently(lambda: published_before(dataset, run)):
            return promote.submit(known, dataset, config.promote, run).result()
        dense = settled(train.submit(dataset, config.train, run))
        found = search(dense, dataset, config, run)
        verdict = settled(evaluate.submit(found.findings, dataset, config.evaluate, run, wait_for=found.candidates))
        explanation = settled(explain.submit(verdict, dataset, run))
        formats = settled(convert.submit(verdict, dataset, config.export, run))
        challenger = settled(publish.submit(verdict, formats, explanation, dataset, run))
        return promote.submit(challenger, dataset, config.promote, run).result()
