"""From a manifest to a version that may answer: fetched and verified, tried in a child process, loaded, warmed."""

import tempfile
from pathlib import Path

from deployments.serving.golden import replay
from deployments.serving.library import Served
from deployments.serving.trial import undergo
from tasks.contracts.artifacts import Artifact
from tasks.contracts.errors import GraphError, IntegrityError
from tasks.contracts.manifest import Manifest, Pointer
from tasks.runtime.session import Session, load
from tasks.stores.s3 import Store


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
    session = _fetched(store, graph_of(manifest), manifest)
    row_seconds = replay(session, manifest)
    return Served(model, pointer.version, pointer.seq, pointer.manifest, manifest, session, row_seconds)


def _fetched(store: Store, graph: Artifact, manifest: Manifest) -> Session:
    with tempfile.TemporaryDirectory(prefix="ingot-serving-") as folder:
        path = store.fetch(graph, Path(folder) / "model.onnx")
        path.chmod(0o400)
        try:
            undergo(path, manifest, graph.sha256)
            return load(path, threads=1)
        except (GraphError, IntegrityError) as error:
            raise type(error)(str(error).replace(str(path), graph.uri)) from error


def graph_of(manifest: Manifest) -> Artifact:
    """The one ONNX file of a version.

    Raises:
        IntegrityError: If there is none, or more than one.
    """
    graphs = [file for file in manifest.files if file.path.endswith(".onnx")]
    if len(graphs) != 1:
        listed = ", ".join(file.path for file in manifest.files)
        raise IntegrityError(f"the manifest names {len(graphs)} ONNX files ({listed}), but must name one")
    return graphs[0].artifact
