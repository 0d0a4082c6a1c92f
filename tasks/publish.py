"""Publish: from the winner to one committed version. Files first, the manifest next, the journal last."""

import getpass
import tempfile
from pathlib import Path

from tasks.contracts.artifacts import Dataset, ExtraFormat, ModelVersion, Run, Verdict
from tasks.contracts.manifest import File
from tasks.step import step


@step(name="publish")
def publish(verdict: Verdict, formats: tuple[ExtraFormat, ...], dataset: Dataset, run: Run) -> ModelVersion:
    """Commit the winner, in all its formats, as a version; a second call with the same key finds the first one's.

    A winner that fails its gate is rejected: nothing is written.
    """
    from tasks.exporters.card import model_card
    from tasks.exporters.events import emit
    from tasks.exporters.golden import golden_batch
    from tasks.exporters.statement import manifest_of
    from tasks.runtime.vetting import vet_graph
    from tasks.stores import registry, tracking
    from tasks.stores.datasets import opened
    from tasks.stores.failpoints import failpoint
    from tasks.stores.journal import Journal
    from tasks.stores.openssf import countersigned
    from tasks.stores.rebuild import restore_lost, tags_of
    from tasks.stores.s3 import Store
    from tasks.stores.succession import check_whole
    from tasks.stores.versions import describe, rejected, run_key, tag_committed

    if not verdict.gate.passed:
        emit("ingot.version.rejected", run.model_name, verdict.gate.reason, winner=verdict.winner.name)
        return rejected(verdict, run)
    failpoint("publish.before_anything")
    store, key = Store.from_environment(run.bucket, run.prefix), run_key(run, dataset)
    journal = Journal(store, run.model_name)
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder, opened(store, dataset) as data:
        model = store.fetch(verdict.winner.file, Path(folder) / "model.onnx")
        vet_graph(model)  # what serving would refuse is refused here already
        card = model_card(run.model_name, verdict, data.manifest, dataset.uri, formats)
        golden = golden_batch(model, data.rows("validation").inputs)
        source = tracking.log_onnx_model(run.mlflow_run_id, model, verdict.signature, golden.inputs)
        failpoint("publish.after_logged_model")
        graph = File(path="model.onnx", artifact=store.put_file(model))
        failpoint("publish.after_graph")
        readme = File(path="README.md", artifact=store.put_bytes(card.encode()))
    others = (File(path=path, artifact=file) for each in formats for path, file in each.files.items())
    files = countersigned(store, run.model_name, (graph, readme, *others))
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
    committed = tag_committed(journal, entry)  # of an earlier try or another publisher perhaps
    failpoint("publish.after_tags")
    tracking.set_tags(run.mlflow_run_id, {"status": "published", "manifest.uri": committed})
    return describe(journal, entry, run).model_copy(update={"candidates": verdict.measurements})
