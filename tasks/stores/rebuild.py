"""MLflow's registry made again from the journal: a version with its number, tags, card and graph.

MLflow counts versions up from 1 and never gives a number twice, so the versions of a model that it has lost altogether
come back under their numbers; one that was deleted by hand does not, until the whole model is deleted and rebuilt.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from tasks.contracts.agreement import Finding
from tasks.contracts.errors import IntegrityError, UnavailableError
from tasks.contracts.manifest import JournalEntry, Manifest
from tasks.stores import registry, tracking
from tasks.stores.journal import Journal

PATIENCE = timedelta(minutes=10)
"""Whoever makes versions again and says nothing for so long is dead."""

LOST = "ingot.lost."
"""Tags of a registered model, one for each version whose number MLflow does not give again."""


def restore(journal: Journal, entry: JournalEntry) -> Finding | None:
    """Makes the version of a publication again; None if it stands.

    Raises:
        IntegrityError: its manifest or graph is gone or broken.
        UnavailableError: a server does not answer, or another process makes versions again right now; the same call
            goes on where this one ended.
    """
    with _alone(journal):
        index = registry.look(journal.model)
        return None if index and entry.version in index.versions else _restore(journal, entry, index)


def _restore(journal: Journal, entry: JournalEntry, index: registry.Index | None) -> Finding:
    number = int(entry.version)
    missing = f"MLflow lacks version {entry.version}"
    counted = max(map(int, index.versions), default=0) if index else 0
    if (index and f"{LOST}{number}" in index.tags) or counted > number or not _made(journal, entry):
        if index and f"{LOST}{number}" not in index.tags:
            registry.tag_model(journal.model, {f"{LOST}{number}": entry.manifest})
        mend = f"delete the model {journal.model} in MLflow, then run `ingot registry rebuild {journal.model}`"
        return _finding(entry, missing, f"MLflow gives its number to no other: {mend}", mended=False)
    return _finding(entry, missing, "made again")


def restore_lost(journal: Journal) -> None:
    """Makes again what MLflow lost at the end of its count, so that a new version does not take an old one's number."""
    published = [entry for entry in journal.entries() if entry.action == "publish"]
    if not published:
        return
    index = registry.look(journal.model)
    counted = max(map(int, index.versions), default=0) if index else 0
    for entry in sorted(published, key=lambda entry: int(entry.version)):
        if int(entry.version) > counted:
            with suppress(IntegrityError):  # an old version that is broken is the reconciler's to report
                restore(journal, entry)


def card_of(journal: Journal, manifest: Manifest) -> str:
    """The model card of a version."""
    cards = [file.artifact for file in manifest.files if file.path == "README.md"]
    return journal.store.get_bytes(cards[0]).decode() if cards else ""


def tags_of(manifest: Manifest, manifest_uri: str) -> dict[str, str]:
    """The tags of a version in MLflow."""
    figures = manifest.metrics
    shown = {
        "manifest.uri": manifest_uri,
        "manifest.sha256": manifest.digest,
        registry.RUN_KEY: manifest.run_key,
        "candidate": manifest.candidate,
        "gate": "passed" if manifest.gate.passed else "failed",
    }
    if "size_bytes" in figures:
        shown["size_bytes"] = f"{figures['size_bytes']:.0f}"
    if "p95_ms" in figures:
        shown["p95_ms"] = f"{figures['p95_ms']:.4f}"
    if f"test_{manifest.metric_name}" in figures:
        shown[manifest.metric_name] = f"{figures[f'test_{manifest.metric_name}']:.6g}"
    return shown


@contextmanager
def _alone(journal: Journal) -> Iterator[None]:
    """One process at a time: two that count a model's versions up would take each other's numbers."""
    key, now = f"locks/rebuild-{journal.model}.json", datetime.now(UTC)
    mine = json.dumps({"since": now.isoformat(), "by": uuid4().hex}).encode()
    standing = journal.store.read(key)
    if standing is not None and now - datetime.fromisoformat(json.loads(standing.content)["since"]) < PATIENCE:
        raise _busy(journal)
    if not journal.store.replace(key, mine, standing.etag if standing else None):
        raise _busy(journal)
    try:
        yield
    finally:
        journal.store.delete(key)


def _busy(journal: Journal) -> UnavailableError:
    return UnavailableError(
        f"versions of {journal.model!r} are being made again by another process, but one may at a time: try again"
    )


def _made(journal: Journal, entry: JournalEntry) -> bool:
    manifest = journal.get_manifest(entry.manifest)
    card = card_of(journal, manifest)
    run_id = _open(journal, entry, manifest)
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        graph = journal.store.fetch(manifest.graph, Path(folder) / "model.onnx")
        source = tracking.log_onnx_model(run_id, graph, manifest.signature, manifest.golden.inputs)
    tracking.log_metrics(run_id, manifest.metrics)
    tags = tags_of(manifest, journal.manifest_uri(entry.manifest))
    made = registry.create_version(journal.model, int(entry.version), source, run_id, tags)
    if made:
        registry.describe_version(journal.model, entry.version, card)
    tracking.close_run(run_id, "FINISHED" if made else "FAILED")
    return made


def _open(journal: Journal, entry: JournalEntry, manifest: Manifest) -> str:
    """The run that stands for the one that made the version; one that was cut off is taken up again."""
    lineage = manifest.lineage
    tags = {
        "prefect.flow_run_id": f"rebuilt {journal.model} {entry.version} {entry.manifest[:12]}",
        "manifest.sha256": entry.manifest,
        "data.digest": lineage.data_digest,
        "code.digest": lineage.code_digest,
        "git.sha": lineage.git_sha,
        "actor": entry.actor,
    }
    return tracking.open_run(journal.model, f"rebuilt version {entry.version}", {"seed": str(lineage.seed)}, tags)


def _finding(entry: JournalEntry, found: str, done: str, *, mended: bool = True) -> Finding:
    return Finding(kind="version", version=entry.version, found=found, done=done, mended=mended)
