"""From a manifest to a version that may answer: fetched and verified, tried in a child process, loaded, warmed."""

import logging
import tempfile
from pathlib import Path

from deployments.serving.card import LONGEST_CARD_BYTES
from deployments.serving.golden import answers_alike_together, replay
from deployments.serving.library import Served
from deployments.serving.trial import undergo
from tasks.contracts.artifacts import Artifact
from tasks.contracts.errors import GraphError, IngotError, IntegrityError
from tasks.contracts.manifest import Manifest, Pointer
from tasks.runtime.session import Session, load
from tasks.stores.s3 import Store

log = logging.getLogger("ingot.serving")

_CARD = "README.md"


def bring(store: Store, model: str, pointer: Pointer, manifest: Manifest) -> Served:
    """Makes a published version ready to answer.

    The file lies in a folder of mode 0700 only while it is tried and loaded, under a name of ours: no path in a
    manifest is ever used. It is parsed and run in a child process first (`trial`), and here only if that went well.

    Args:
        store: Where its files lie.
        model: The name it was asked for by.
        pointer: What names it champion.
        manifest: What it is.

    Raises:
        IntegrityError: If the manifest is another model's, or a file is not what its digest says.
        GraphError: If the graph uses an operator that is not allowed, does not load within its limits, or does not
            answer its golden batch as recorded.
        UnavailableError: If the store does not answer.
    """
    if manifest.model != model:
        raise IntegrityError(f"the manifest is of model {manifest.model!r}, but must be of {model!r}: publish it again")
    session = _fetched(store, manifest.graph, manifest)
    row_seconds = replay(session, manifest)
    return Served(
        model=model,
        version=pointer.version,
        seq=pointer.seq,
        manifest_sha256=pointer.manifest,
        manifest=manifest,
        session=session,
        row_seconds=row_seconds,
        expires=pointer.expires,
        shares=answers_alike_together(session, manifest),
        card=card_of(store, manifest),
    )


def _fetched(store: Store, graph: Artifact, manifest: Manifest) -> Session:
    with tempfile.TemporaryDirectory(prefix="ingot-serving-") as folder:
        path = store.fetch(graph, Path(folder) / "model.onnx")
        path.chmod(0o400)
        try:
            undergo(path, manifest, graph.sha256)
            return load(path, threads=1)
        except (GraphError, IntegrityError) as error:
            raise type(error)(str(error).replace(str(path), graph.uri)) from error


def card_of(store: Store, manifest: Manifest) -> str:
    """The card of a version; empty if it has none, or none that can be had: nobody's answer depends on it."""
    file = next((file for file in manifest.files if file.path == _CARD), None)
    if file is None or file.artifact.size_bytes > LONGEST_CARD_BYTES:
        return ""
    with tempfile.TemporaryDirectory(prefix="ingot-serving-") as folder:
        try:
            content = store.fetch(file.artifact, Path(folder) / "card.md").read_bytes()
        except IngotError as error:
            log.warning("model %s: the card of a version cannot be shown: %s", manifest.model, error)
            return ""
    return content.decode(errors="replace") if len(content) <= LONGEST_CARD_BYTES else ""
