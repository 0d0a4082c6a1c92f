"""The reconciler: what the journal says is made true everywhere else."""

from prefect import flow

from tasks.contracts.agreement import Agreement
from tasks.exporters.agreement_report import show, unmended
from tasks.reconcile import reconcile as look


@flow(name="reconcile")
def reconcile(model_name: str = "") -> list[Agreement]:
    """Let pointers and MLflow agree with the journals; an alias that was moved in MLflow is a request.

    Args:
        model_name: Name of the model; empty takes every model in the store.
    """
    agreements = look.submit(model_name).result()
    show(agreements)
    unmended(agreements)
    return agreements
