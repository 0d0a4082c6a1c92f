"""Promote: the champion re-scored on the challenger's test split, and the alias moved if the policy allows."""

import getpass

from tasks.contracts.artifacts import Dataset, ModelVersion, Run, Verdict
from tasks.contracts.config import PromoteConfig
from tasks.step import step


@step(name="promote")
def promote(
    challenger: ModelVersion, verdict: Verdict, dataset: Dataset, config: PromoteConfig, run: Run
) -> ModelVersion:
    """Make the challenger champion if it earns it: journal first, then pointer, then the MLflow alias."""
    from tasks.exporters.contest import decide
    from tasks.stores import registry, tracking
    from tasks.stores.datasets import opened
    from tasks.stores.journal import Journal
    from tasks.stores.s3 import Store
    from tasks.stores.versions import run_key

    if challenger.status == "rejected" or challenger.champion:
        return challenger
    store = Store.from_environment(run.bucket, run.prefix)
    journal = Journal(store, run.model_name)
    champion = journal.champion()
    with opened(store, dataset) as data:
        decision = decide(
            config.policy,
            config.margin,
            challenger=store.get_bytes(verdict.winner.file),
            signature=verdict.signature,
            champion=journal.get_manifest(champion.manifest) if champion else None,
            fetch=store.get_bytes,
            rows=data.rows("test"),
        )
    tracking.set_tags(
        run.mlflow_run_id, {"promoted": str(decision.promoted).lower(), "promote.reason": decision.reason}
    )
    if decision.promoted:
        entry = journal.append(
            action="promote",
            version=challenger.version,
            manifest=challenger.manifest_sha256,
            run_key=run_key(run, dataset),
            actor=getpass.getuser(),
            reason=decision.reason,
        )
        journal.move_pointer(entry)
        registry.set_alias(run.model_name, "champion", challenger.version)
    loser = champion.version if decision.promoted and champion else challenger.version
    if loser != challenger.version or not decision.promoted:
        registry.set_alias(run.model_name, "challenger", loser)
    return challenger.model_copy(update={"champion": decision.promoted, "reason": decision.reason})
