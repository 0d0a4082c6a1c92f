"""A person's decision, made in the Prefect UI: a published version becomes champion."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from tasks.appoint import appoint
from tasks.contracts.config import ModelName
from tasks.contracts.version import ModelVersion


@flow(name="promote", flow_run_name="promote-{model_name}-version-{version}")
def promote_version(
    model_name: ModelName,
    version: Annotated[str, Field(pattern=r"^[1-9][0-9]*$")],
    reason: str = "",
    only_if_better: bool = True,
) -> ModelVersion:
    """Make a published version champion.

    Args:
        model_name: Name of the model.
        version: Number of the version, as MLflow and `ingot models` show it.
        reason: Why; it is kept in the journal.
        only_if_better: Hold it against the champion on its own test split, and promote it only if it is surely better.
    """
    return appoint.submit(model_name, version, reason, 0.0 if only_if_better else None).result()
