"""What is said of a version in its manifest."""

from datetime import UTC, datetime

from tasks.contracts.artifacts import Run
from tasks.contracts.dataset import Dataset
from tasks.contracts.manifest import File, GoldenBatch, Lineage, Manifest
from tasks.contracts.verdict import Verdict
from tasks.stores.provenance import git_sha


def manifest_of(
    verdict: Verdict, dataset: Dataset, run: Run, run_key: str, *, files: tuple[File, ...], golden: GoldenBatch
) -> Manifest:
    """The manifest of a winner."""
    return Manifest(
        model=run.model_name,
        run_key=run_key,
        candidate=verdict.winner.name,
        metric_name=verdict.metric_name,
        files=files,
        signature=verdict.signature,
        metrics=_metrics(verdict),
        gate=verdict.gate,
        golden=golden,
        lineage=Lineage(
            data_digest=dataset.sha256,
            config_digest=run.config_digest,
            code_digest=run.code_digest,
            seed=run.seed,
            git_sha=git_sha(),
            mlflow_run_id=run.mlflow_run_id,
            flow_run_id=run.flow_run_id,
            dataset_uri=dataset.uri,
        ),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _metrics(verdict: Verdict) -> dict[str, float]:
    """The winner's figures, and the one that was read from the test split."""
    figures = verdict.winning.model_dump(exclude={"name", "within_budget", "broken_limits", "hops", "on_front"})
    return {**figures, f"test_{verdict.metric_name}": verdict.test_metric}
