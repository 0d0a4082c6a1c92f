"""Model versions as the flow and the command see them: a journal entry and where to look it up."""

from tasks.contracts.artifacts import Run
from tasks.contracts.dataset import Dataset
from tasks.contracts.manifest import JournalEntry, key_of
from tasks.contracts.verdict import Verdict
from tasks.contracts.version import ModelVersion
from tasks.stores import registry, tracking
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store
from tasks.stores.tracking.client import unless


def run_key(run: Run, dataset: Dataset) -> str:
    """The name of a run's result before it exists."""
    return key_of(run.model_name, dataset.sha256, run.config_digest, run.code_digest, run.seed)


def describe(journal: Journal, entry: JournalEntry, run: Run) -> ModelVersion:
    """The version that a publish entry committed, seen from a run."""
    champion = journal.champion()
    manifest = journal.get_manifest(entry.manifest)
    return ModelVersion(
        model=run.model_name,
        version=entry.version,
        seq=entry.seq,
        status="published",
        champion=champion is not None and champion.manifest == entry.manifest,
        manifest_uri=journal.manifest_uri(entry.manifest),
        manifest_sha256=entry.manifest,
        flow_run_id=run.flow_run_id,
        flow_run_url=run.flow_run_url,
        mlflow_run_id=run.mlflow_run_id,
        mlflow_version_url=registry.version_url(run.model_name, entry.version),
        winner=manifest.candidate,
    )


def tag_committed(journal: Journal, entry: JournalEntry) -> str:
    """Tags the version in MLflow with the manifest that was committed: an earlier try may have told it of another.

    Returns:
        The manifest's address.

    Raises:
        InputError: MLflow has no such version.
    """
    uri = journal.manifest_uri(entry.manifest)
    registry.tag_version(journal.model, entry.version, {"manifest.uri": uri, "manifest.sha256": entry.manifest})
    return uri


def published_before(dataset: Dataset, run: Run) -> ModelVersion | None:
    """The version that the same recipe made from the same data before: then there is nothing to do."""
    journal = Journal(Store.from_environment(run.bucket, run.prefix), run.model_name)
    entry = journal.find("publish", run_key(run, dataset))
    if entry is None:
        return None
    with unless("RESOURCE_DOES_NOT_EXIST"):  # what somebody deleted from MLflow was published all the same
        tag_committed(journal, entry)
    reason = f"the same recipe, data and code made version {entry.version} before: nothing to do"
    tracking.set_tags(run.mlflow_run_id, {"status": "unchanged", "reason": reason})
    return describe(journal, entry, run).model_copy(update={"status": "unchanged", "reason": reason})


def rejected(verdict: Verdict, run: Run) -> ModelVersion:
    """What a run returns whose winner failed its gate: no version, and why."""
    tracking.set_tags(run.mlflow_run_id, {"status": "rejected", "reason": verdict.gate.reason})
    return ModelVersion(
        model=run.model_name,
        status="rejected",
        reason=verdict.gate.reason,
        flow_run_id=run.flow_run_id,
        flow_run_url=run.flow_run_url,
        mlflow_run_id=run.mlflow_run_id,
        winner=verdict.winner.name,
        candidates=verdict.measurements,
    )
