"""What lies in S3 for a published version: manifest, journal entry, pointer.

Each travels in a signed DSSE envelope (`stores.signing`). The journal is the truth; the pointer is a hint that may lag
behind the journal and never leads it.
"""

from datetime import datetime
from typing import Any, Literal

from tasks.contracts.artifacts import Artifact
from tasks.contracts.errors import IntegrityError
from tasks.contracts.record import Record, canonical_json, sha256_hex
from tasks.contracts.signature import Signature
from tasks.contracts.verdict import Gate

MANIFEST_TYPE = "application/vnd.ingot.manifest+json"
JOURNAL_TYPE = "application/vnd.ingot.journal+json"
POINTER_TYPE = "application/vnd.ingot.pointer+json"
DECLINED_TYPE = "application/vnd.ingot.declined+json"


class File(Record):
    """One file of a version, by its place in the folder that `ingot pull` writes."""

    path: str
    artifact: Artifact


class GoldenBatch(Record):
    """Raw rows and the answers they must get: replayed before a version may serve."""

    inputs: dict[str, list[Any]]
    """Tensor name to nested lists, as V2 JSON `data` before flattening."""
    outputs: dict[str, list[Any]]
    tolerance: float = 1e-4
    """Largest allowed difference of a probability, or of a value relative to its size."""


class Lineage(Record):
    """Where a version comes from."""

    data_digest: str
    config_digest: str
    code_digest: str
    seed: int
    git_sha: str = ""
    mlflow_run_id: str = ""
    flow_run_id: str = ""
    dataset_uri: str = ""


class Manifest(Record):
    """Everything about one version that whoever serves or checks it needs."""

    format: Literal[1] = 1
    model: str
    run_key: str
    candidate: str
    metric_name: Literal["accuracy", "rmse"]
    files: tuple[File, ...]
    signature: Signature
    metrics: dict[str, float]
    gate: Gate
    golden: GoldenBatch
    lineage: Lineage
    created_at: str
    """UTC, ISO 8601."""

    @property
    def graph(self) -> Artifact:
        """The one ONNX file.

        Raises:
            IntegrityError: there is none, or more than one.
        """
        graphs = [file for file in self.files if file.path.endswith(".onnx")]
        if len(graphs) != 1:
            listed = ", ".join(file.path for file in self.files)
            raise IntegrityError(f"the manifest names {len(graphs)} ONNX files ({listed}), but must name one")
        return graphs[0].artifact


class JournalEntry(Record):
    """One line of a model's history; entry n+1 names the digest of entry n."""

    seq: int
    previous_sha256: str
    """Digest of the previous entry's envelope; 64 zeros for the first."""
    action: Literal["publish", "promote", "rollback"]
    version: str
    manifest: str
    """SHA-256 of the manifest's payload: its name under `manifests/`."""
    run_key: str
    actor: str
    reason: str
    time: str


class Pointer(Record):
    """Which version an alias means, and until when that may be believed: an old one cannot be put back for ever."""

    seq: int
    version: str
    manifest: str
    expires: str
    """UTC, ISO 8601; renewed by whoever may sign, long before."""

    def lasts_seconds(self, now: datetime) -> float:
        """How long it may still be believed; negative once it expired."""
        return (datetime.fromisoformat(self.expires) - now).total_seconds()


class Declined(Record):
    """A challenger that was not promoted."""

    manifest: str
    champion: str
    """The manifest that was champion then; empty if there was none."""
    reason: str
    time: str


def key_of(model: str, data_digest: str, config_digest: str, code_digest: str, seed: int) -> str:
    """The name of a result before it exists: the same key means the same version.

    >>> key_of("digits", "d", "c", "k", 0) == key_of("digits", "d", "c", "k", 0)
    True
    """
    return sha256_hex(canonical_json([model, data_digest, config_digest, code_digest, seed]))
