"""Appoint: a published version made champion because somebody says so."""

import getpass

from tasks.contracts.version import ModelVersion
from tasks.step import step


@step(name="appoint")
def appoint(model_name: str, version: str, reason: str, margin: float | None) -> ModelVersion:
    """Make a version champion, if it wins the contest where a margin is given: journal, pointer, then the alias."""
    from tasks.exporters.appointment import promote_version
    from tasks.exporters.events import PROMOTED, emit
    from tasks.stores import registry
    from tasks.stores.history import publication_of
    from tasks.stores.journal import Journal
    from tasks.stores.s3 import Store

    journal = Journal(Store.from_environment(), model_name)
    publication = publication_of(journal, version)
    made = promote_version(journal, publication, actor=getpass.getuser(), reason=reason, margin=margin)
    if made.changed:
        emit(PROMOTED, model_name, made.reason, version=version)
    # Not an error, since that would be tried again: somebody may have rolled back by then. The reconciler sees to it.
    waits = f"; MLflow's alias follows at the next reconciliation: {made.alias_waits}" if made.alias_waits else ""
    return ModelVersion(
        model=model_name,
        version=version,
        seq=made.seq,
        status="published",
        champion=made.champion,
        manifest_uri=journal.manifest_uri(publication.manifest),
        manifest_sha256=publication.manifest,
        mlflow_version_url=registry.version_url(model_name, version),
        reason=made.reason + waits,
    )
