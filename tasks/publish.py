"""Publish: from the winner to one committed version. Files first, the manifest next, the journal last."""

import getpass
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tasks.contracts.artifacts import Dataset, ExtraFormat, ModelVersion, Run, Verdict
from tasks.contracts.manifest import File, GoldenBatch, Lineage, Manifest
from tasks.step import step
from tasks.stores.provenance import git_sha


@step(name="publish")
def publish(verdict: Verdict, formats: tuple[ExtraFormat, ...], dataset: Dataset, run: Run) -> ModelVersion:
    """Commit the winner, in all its formats, as a version; a second call with the same key finds the first one's.

    A winner that fails its gate is rejected: nothing is written.
    """
    from tasks.exporters.card import model_card
    from tasks.exporters.golden import golden_batch
    from tasks.stores import registry, tracking
    from tasks.stores.datasets import opened
    from tasks.stores.journal import Journal
    from tasks.stores.s3 import Store
    from tasks.stores.versions import describe, rejected, run_key

    if not verdict.gate.passed:
        return rejected(verdict, run)
    store, key = Store.from_environment(run.bucket, run.prefix), run_key(run, dataset)
    journal = Journal(store, run.model_name)
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder, opened(store, dataset) as data:
        model = store.fetch(verdict.winner.file, Path(folder) / "model.onnx")
        card = model_card(run.model_name, verdict, data.manifest, dataset.uri, formats)
        golden = golden_batch(model, data.rows("validation").inputs)
        source = tracking.log_onnx_model(run.mlflow_run_id, model, verdict.signature, golden.inputs)
        files = (
            File(path="model.onnx", artifact=store.put_file(model)),
            File(path="README.md", artifact=store.put_bytes(card.encode())),
            *(File(path=path, artifact=file) for each in formats for path, file in each.files.items()),
        )
    uri, digest = journal.put_manifest(_manifest(verdict, dataset, run, key, files=files, golden=golden))
    version = registry.ensure_version(run.model_name, key, source, run.mlflow_run_id, _tags(verdict, uri, digest), card)
    entry = journal.append(
        action="publish",
        version=version,
        manifest=digest,
        run_key=key,
        actor=getpass.getuser(),
        reason=verdict.reason,
    )
    tracking.set_tags(run.mlflow_run_id, {"status": "published", "manifest.uri": uri})
    return describe(journal, entry, run).model_copy(update={"candidates": verdict.measurements})


def _manifest(
    verdict: Verdict, dataset: Dataset, run: Run, run_key: str, *, files: tuple[File, ...], golden: GoldenBatch
) -> Manifest:
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


def _tags(verdict: Verdict, manifest_uri: str, manifest_sha256: str) -> dict[str, str]:
    return {
        "manifest.uri": manifest_uri,
        "manifest.sha256": manifest_sha256,
        "candidate": verdict.winner.name,
        "size_bytes": str(verdict.winning.size_bytes),
        "p95_ms": f"{verdict.winning.p95_ms:.4f}",
        verdict.metric_name: f"{verdict.test_metric:.6g}",
        "gate": "passed",
    }
