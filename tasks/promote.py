"""Promote: the champion re-scored on the challenger's test split, and the alias moved if the policy allows."""

import getpass
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tasks.contracts.artifacts import Run
from tasks.contracts.config import PromoteConfig
from tasks.contracts.dataset import Dataset
from tasks.contracts.errors import ConflictError, InputError
from tasks.contracts.manifest import Declined
from tasks.contracts.version import ModelVersion
from tasks.step import step

if TYPE_CHECKING:
    from tasks.stores.journal import Journal

TRIES = 10
"""Contests, each against a champion of its own."""


@step(name="promote")
def promote(challenger: ModelVersion, dataset: Dataset, config: PromoteConfig, run: Run) -> ModelVersion:
    """Make the challenger champion if it earns it: journal first, then pointer, then the MLflow alias.

    What was decided before is not decided again: then only what a cut-off run left behind is brought to its end.
    """
    from tasks.stores.journal import Journal
    from tasks.stores.s3 import Store

    if challenger.status == "rejected":
        return challenger
    store = Store.from_environment(run.bucket, run.prefix)
    for _ in range(TRIES):
        with suppress(ConflictError):  # somebody else became champion meanwhile: the question is another one now
            return _decided(challenger, dataset, config, run, Journal(store, run.model_name))
    raise ConflictError(f"champion of {run.model_name!r} moved {TRIES} times meanwhile: run `ingot promote` by hand")


def _decided(
    challenger: ModelVersion, dataset: Dataset, config: PromoteConfig, run: Run, journal: "Journal"
) -> ModelVersion:
    from tasks.exporters.contest import decide
    from tasks.exporters.events import PROMOTED, emit
    from tasks.stores import registry, tracking
    from tasks.stores.datasets import opened
    from tasks.stores.declined import decline, find_declined
    from tasks.stores.failpoints import failpoint
    from tasks.stores.history import publication_of
    from tasks.stores.succession import crown, settle

    publication = publication_of(journal, challenger.version)
    standing = journal.champion()  # before it is asked whether this one was promoted: others may do so meanwhile
    crowned = standing if standing and standing.manifest == publication.manifest else None
    earlier = (
        crowned or journal.find("promote", publication.run_key) or find_declined(journal, publication, standing, config)
    )
    if earlier is not None:
        champion = settle(journal)
        stands = champion is not None and champion.manifest == publication.manifest
        return challenger.model_copy(update={"champion": stands, "reason": challenger.reason or earlier.reason})
    failpoint("promote.before_contest")
    with opened(journal.store, dataset) as data:
        decision = decide(
            config.policy,
            config.margin,
            challenger=journal.get_manifest(publication.manifest),
            champion=journal.get_manifest(standing.manifest) if standing else None,
            fetch=journal.store.get_bytes,
            rows=data.rows("test"),
        )
    failpoint("promote.after_contest")
    tags = {"promoted": str(decision.promoted).lower(), "promote.reason": decision.reason}
    tracking.set_tags(run.mlflow_run_id, tags)
    loser = standing if decision.promoted and standing else publication
    if standing or not decision.promoted:  # before the commit: whoever finds that made asks no more who lost
        with suppress(InputError):  # MLflow lost that version: no reason to keep the winner back
            registry.set_alias(run.model_name, "challenger", loser.version)
    failpoint("promote.after_challenger")
    if decision.promoted:
        crown(journal, "promote", publication, actor=getpass.getuser(), reason=decision.reason, instead_of=standing)
        emit(PROMOTED, run.model_name, decision.reason, version=challenger.version)
    else:
        now = datetime.now(UTC).isoformat()
        held_against = standing.manifest if standing else ""
        declined = Declined(manifest=publication.manifest, champion=held_against, reason=decision.reason, time=now)
        decline(journal, declined, config)
    return challenger.model_copy(update={"champion": decision.promoted, "reason": decision.reason})
