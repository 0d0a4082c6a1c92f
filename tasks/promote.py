"""Promote: the champion re-scored on the challenger's test split, and the alias moved if the policy allows."""

import getpass
from datetime import UTC, datetime

from tasks.contracts.artifacts import Dataset, ModelVersion, Run
from tasks.contracts.config import PromoteConfig
from tasks.contracts.manifest import Declined
from tasks.step import step


@step(name="promote")
def promote(challenger: ModelVersion, dataset: Dataset, config: PromoteConfig, run: Run) -> ModelVersion:
    """Make the challenger champion if it earns it: journal first, then pointer, then the MLflow alias.

    What was decided before is not decided again: then only what a cut-off run left behind is brought to its end.
    """
    from tasks.exporters.contest import decide
    from tasks.stores import registry, tracking
    from tasks.stores.datasets import opened
    from tasks.stores.declined import decline, find_declined
    from tasks.stores.failpoints import failpoint
    from tasks.stores.journal import Journal
    from tasks.stores.s3 import Store
    from tasks.stores.succession import crown, publication_of, settle

    if challenger.status == "rejected":
        return challenger
    store = Store.from_environment(run.bucket, run.prefix)
    journal = Journal(store, run.model_name)
    publication = publication_of(journal, challenger.version)
    standing = journal.champion()  # before it is asked whether this one was promoted: others may do so meanwhile
    crowned = standing if standing and standing.manifest == publication.manifest else None
    earlier = (
        crowned or journal.find("promote", publication.run_key) or find_declined(journal, publication.manifest, config)
    )
    if earlier is not None:
        champion = settle(journal)
        stands = champion is not None and champion.manifest == publication.manifest
        return challenger.model_copy(update={"champion": stands, "reason": challenger.reason or earlier.reason})
    failpoint("promote.before_contest")
    with opened(store, dataset) as data:
        decision = decide(
            config.policy,
            config.margin,
            challenger=journal.get_manifest(publication.manifest),
            champion=journal.get_manifest(standing.manifest) if standing else None,
            fetch=store.get_bytes,
            rows=data.rows("test"),
        )
    failpoint("promote.after_contest")
    tags = {"promoted": str(decision.promoted).lower(), "promote.reason": decision.reason}
    tracking.set_tags(run.mlflow_run_id, tags)
    loser = standing if decision.promoted and standing else publication
    if standing or not decision.promoted:  # before the commit: whoever finds that made asks no more who lost
        registry.set_alias(run.model_name, "challenger", loser.version)
    failpoint("promote.after_challenger")
    if decision.promoted:
        crown(journal, "promote", publication, actor=getpass.getuser(), reason=decision.reason)
    else:
        now = datetime.now(UTC).isoformat()
        held_against = standing.manifest if standing else ""
        declined = Declined(manifest=publication.manifest, champion=held_against, reason=decision.reason, time=now)
        decline(journal, declined, config)
    return challenger.model_copy(update={"champion": decision.promoted, "reason": decision.reason})
