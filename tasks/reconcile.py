"""Reconcile: pointer and MLflow made to agree with the journal, model by model, and runs ended that nobody makes."""

from tasks.contracts.agreement import Agreement
from tasks.step import step


@step(name="reconcile")
def reconcile(model_name: str) -> list[Agreement]:
    """Look at one model, or at all, and mend what differs; a broken model is reported, and keeps no other waiting.

    All pointers come first: they need no MLflow. Then MLflow is told what killed processes left to tell.
    """
    from tasks.contracts.errors import ConflictError, InputError, IntegrityError
    from tasks.exporters.events import PROMOTED, emit
    from tasks.stores import reconciliation
    from tasks.stores.journal import Journal
    from tasks.stores.s3 import Store

    store = Store.from_environment()
    found: dict[str, Agreement] = {}
    moved = {}
    for model in [model_name] if model_name else reconciliation.models_of(store):
        try:
            journal = Journal(store, model)
            moved[model] = journal, reconciliation.settle_pointer(journal)
        except (IntegrityError, InputError, ConflictError) as error:
            found[model] = reconciliation.broken(model, error)
    for model, (journal, findings) in moved.items():
        try:
            agreement = reconciliation.reconcile(journal)
        except (IntegrityError, InputError, ConflictError) as error:
            agreement = reconciliation.broken(model, error)
        for request in agreement.granted:
            emit(PROMOTED, model, f"{request.found}: {request.done}", version=request.version)
        found[model] = agreement.model_copy(update={"findings": (*findings, *agreement.findings)})
    for model, finding in reconciliation.end_phantoms(model_name):
        agreement = found.get(model, Agreement(model=model))
        found[model] = agreement.model_copy(update={"findings": (*agreement.findings, finding)})
    return [found[model] for model in sorted(found)]
