"""Publish: from the winner to one committed version. Files first, the manifest next, the journal last."""

import getpass
import tempfile
from pathlib import Path

from tasks.contracts.artifacts import Run
from tasks.contracts.dataset import Dataset
from tasks.contracts.explanation import Explanation
from tasks.contracts.manifest import File
from tasks.contracts.verdict import ExtraFormat, Verdict
from tasks.contracts.version import ModelVersion
from tasks.step import step


@step(name="publish")
def publish(
    verdict: Verdict, formats: tuple[ExtraFormat, ...], explanation: Explanation, dataset: Dataset, run: Run
) -> ModelVersion:
    """Commit the winner, in all its formats, as a version; a second call with the same key finds the first one's.

    A winner that fails its gate is rejected: nothing is written.
    """
    from tasks.exporters.card import model_card
    from tasks.exporters.events import REJECTED, emit
    from tasks.exporters.golden import golden_batch
    from tasks.exporters.statement import manifest_of
    from tasks.runtime.vetting import vet_graph
    from tasks.stores import registry, tracking
    from tasks.stores.datasets import opened
    from tasks.stores.failpoints import failpoint
    from tasks.stores.journal import Journal
    from tasks.stores.ledger import enter
    from tasks.stores.openssf import countersigned
    from tasks.stores.rebuild import restore_lost, tags_of
    from tasks.stores.s3 import Store
    from tasks.stores.succession import check_whole
    from tasks.stores.versions import describe, rejected, run_key, tag_committed

    if not verdict.gate.passed:
        emit(REJECTED, run.model_name, verdict.gate.reason, winner=verdict.winner.name)
        return rejected(verdict, run)
    failpoint("publish.before_anything")
    store, key = Store.from_environment(run.bucket, run.prefix), run_key(run, dataset)
    journal = Journal(store, run.model_name)
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder, opened(store, dataset) as data:
        model = store.fetch(verdict.winner.file, Path(folder) / "model.onnx")
        vet_graph(model)  # what serving would refuse is refused here already
        card = model_card(run.model_name, verdict, data.manifest, dataset.uri, formats, explanation)
        golden = golden_batch(model, data.rows("validation").inputs)
        source = tracking.log_onnx_model(run.mlflow_run_id, model, verdict.signature, golden.inputs)
        failpoint("publish.after_logged_model")
        graph = File(path="model.onnx", artifact=store.put_file(model))
        failpoint("publish.after_graph")
        readme = File(path="README.md", artifact=store.put_bytes(card.encode()))
    files = countersigned(store, run.model_name, (graph, readme, *_files_of(formats)))
    failpoint("publish.after_blobs")
    made = manifest_of(verdict, dataset, run, key, files=files, golden=golden)
    uri, digest = journal.put_manifest(made)
    failpoint("publish.after_manifest")
    restore_lost(journal)
    tags = tags_of(made, uri)
    version = registry.ensure_version(run.model_name, key, source, run.mlflow_run_id, tags, card)
    failpoint("publish.after_version")
    check_whole(journal, made, version)  # garbage may have been collected meanwhile
    entry = journal.append(
        action="publish", version=version, manifest=digest, run_key=key, actor=getpass.getuser(), reason=verdict.reason
    )
    committed = {"manifest.uri": tag_committed(journal, entry)}  # of an earlier try or another publisher perhaps
    failpoint("publish.after_tags")
    spent = enter(store, run.model_name, key, verdict)
    published = describe(journal, entry, run).model_copy(update={"candidates": verdict.measurements})
    tracking.log_metrics(run.mlflow_run_id, {f"cost/{name}": value for name, value in spent})
    tracking.set_tags(run.mlflow_run_id, {"status": "published"} | committed)
    _tell(published, card, run)
    return published


def _tell(published: ModelVersion, card: str, run: Run) -> None:
    from tasks.exporters.ui_links import show_version
    from tasks.stores import registry, tracking

    tracking.describe_run(run.mlflow_run_id, card)
    registry.describe_model(run.model_name, card)
    show_version(published, card, tracking.run_url(run.mlflow_run_id))


def _files_of(formats: tuple[ExtraFormat, ...]) -> list[File]:
    return [File(path=path, artifact=file) for each in formats for path, file in each.files.items()]
