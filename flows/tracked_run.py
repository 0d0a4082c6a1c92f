"""The frame of a flow run: its MLflow run."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.runtime import flow_run

from tasks.contracts.artifacts import Run
from tasks.contracts.config import RetrainConfig
from tasks.contracts.record import sha256_hex
from tasks.stores import tracking
from tasks.stores.provenance import code_digest, config_digest, foreign_digest, git_sha
from tasks.stores.s3 import Store


@contextmanager
def tracked_run(config: RetrainConfig) -> Iterator[Run]:
    """Open the MLflow run of this flow run; close it as finished or failed, whichever way the body ends.

    A store that is away, or cannot commit safely, is refused before anything is written.
    """
    store = Store.from_environment(config.publish.bucket, config.publish.prefix)
    store.probe()
    run = run_of(config, store)
    flow_run_id, url = str(flow_run.id or ""), str(flow_run.ui_url or "")
    tags = {
        "prefect.flow_run_id": flow_run_id,
        "prefect.flow_run_url": url,
        "code.digest": run.code_digest,
        "git.sha": git_sha(),
        "actor": getpass.getuser(),
    }
    name = str(flow_run.name or config.model_name)
    run_id = tracking.open_run(config.model_name, name, flattened(config), tags)
    try:
        yield run.model_copy(update={"mlflow_run_id": run_id, "flow_run_id": flow_run_id, "flow_run_url": url})
    except BaseException:
        tracking.close_run(run_id, "FAILED")
        raise
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
