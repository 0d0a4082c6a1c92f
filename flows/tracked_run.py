"""The frame of a flow run: its MLflow run."""

import asyncio
import getpass
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run

from tasks.contracts.artifacts import Run
from tasks.contracts.config import RetrainConfig
from tasks.contracts.errors import IngotError, UnavailableError
from tasks.contracts.record import sha256_hex
from tasks.stores import tracking
from tasks.stores.patience import patiently
from tasks.stores.provenance import code_digest, config_digest, foreign_digest, git_sha
from tasks.stores.s3 import Store

STOPPED = (TerminationSignal, KeyboardInterrupt, asyncio.CancelledError)
"""How a body ends that somebody stopped: by Prefect's cancel, or Ctrl-C."""


@contextmanager
def tracked_run(config: RetrainConfig) -> Iterator[Run]:
    """Open the MLflow run of this flow run; close it as finished, failed or killed, whichever way the body ends.

    A server that is away is waited for. A store that stays away, or cannot commit safely, is refused before anything
    is written. That MLflow is away at the end changes nothing: the closing waits on disk.
    """
    store = Store.from_environment(config.publish.bucket, config.publish.prefix)
    patiently(store.probe)
    run = patiently(lambda: run_of(config, store))
    flow_run_id, url = str(flow_run.id or ""), str(flow_run.ui_url or "")
    tags = {
        "prefect.flow_run_id": flow_run_id,
        "prefect.flow_run_url": url,
        "code.digest": run.code_digest,
        "git.sha": git_sha(),
        "actor": getpass.getuser(),
    }
    name = str(flow_run.name or config.model_name)
    run_id = patiently(lambda: tracking.open_run(config.model_name, name, flattened(config), tags))
    try:
        yield run.model_copy(update={"mlflow_run_id": run_id, "flow_run_id": flow_run_id, "flow_run_url": url})
    except BaseException as error:
        with suppress(IngotError):  # what ended the body is what is told
            tracking.close_run(run_id, "KILLED" if isinstance(error, STOPPED) else "FAILED")
        raise
    with suppress(UnavailableError):  # not even the disk takes it: the reconciler ends the run
        tracking.close_run(run_id)


def run_of(config: RetrainConfig, store: Store) -> Run:
    """Which retraining a form describes, before it reports to anybody."""
    foreign = foreign_digest(config.train, store)
    return Run(
        model_name=config.model_name,
        seed=config.seed,
        config_digest=config_digest(config),
        code_digest=sha256_hex(f"{code_digest()}{foreign}".encode()) if foreign else code_digest(),
        foreign_digest=foreign,
        bucket=config.publish.bucket,
        prefix=config.publish.prefix,
        mlflow_run_id="",
    )


def flattened(config: RetrainConfig) -> dict[str, str]:
    """The form as MLflow parameters: `train.epochs` to its value."""
    nested = config.model_dump(mode="json")
    flat = {name: value for name, value in nested.items() if not isinstance(value, dict)}
    for form, fields in nested.items():
        if isinstance(fields, dict):
            flat |= {f"{form}.{name}": value for name, value in fields.items()}
    return {name: str(value) for name, value in flat.items()}
