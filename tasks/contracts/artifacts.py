"""The records that tasks hand on: where a thing lies, its digest, and the facts the next step needs. Never tensors."""

from typing import Literal

from tasks.contracts.record import Record
from tasks.contracts.schema import Encoding, Schema
from tasks.contracts.signature import Signature


class Artifact(Record):
    """Immutable bytes in the store, named by their digest."""

    uri: str
    """`s3://bucket/blobs/sha256/<hex>` of the first chunk."""
    sha256: str
    """Digest of the whole."""
    size_bytes: int
    chunks: tuple[str, ...]
    """Digests of the pieces of at most 64 MiB, in order; for a small artifact its own digest."""


class Run(Record):
    """Which retraining this is, and where it reports to."""

    model_name: str
    seed: int
    config_digest: str
    """Of the forms that shape the result."""
    code_digest: str
    mlflow_run_id: str
    bucket: str = ""
    """Where its artifacts go; empty takes INGOT_BUCKET."""
    prefix: str = ""
    flow_run_id: str = ""
    flow_run_url: str = ""


class ColumnProfile(Record):
    """What one column looked like in training: the reference that drift is measured against."""

    name: str
    missing: int = 0
    distinct: int = 0
    mean: float | None = None
    std: float | None = None
    edges: tuple[float, ...] = ()
    """Numbers: the bin edges, at quantiles of the training split."""
    counts: tuple[int, ...] = ()
    """Rows in each bin, or of each value of `values`."""
    values: tuple[str, ...] = ()
    """Categories: the most frequent values."""


class Profile(Record):
    """The training split in figures: one entry a feature, and the target last."""

    columns: tuple[ColumnProfile, ...]


Split = Literal["train", "validation", "test"]


class Dataset(Record):
    """A content-addressed dataset: three splits of raw rows as Parquet, and what is known of them."""

    uri: str
    """`s3://bucket/datasets/<digest>/dataset.json`, which holds a `DatasetManifest`."""
    sha256: str
    """The digest that names the data."""
    task: Literal["classification", "regression"]
    kind: Literal["tabular", "images", "text"]
    rows: dict[Split, int]


class DatasetManifest(Record):
    """What lies at a dataset's uri. Its digest is the dataset's name; it is written last."""

    schema_: Schema
    encoding: Encoding
    profile: Profile
    splits: dict[Split, Artifact]
    rows: dict[Split, int]
    warnings: tuple[str, ...] = ()
    """What was found odd but not refused: duplicates, constant columns, rows shared between splits."""


class Architecture(Record):
    """Everything that is needed to build an untrained network."""

    family: Literal["linear", "mlp", "cnn", "resnet", "rnn", "transformer", "custom"]
    input_shape: tuple[int, ...]
    """Shape of one encoded row: (D,), (C, H, W), or (L,) token ids for text."""
    output_size: int
    hidden_sizes: tuple[int, ...]
    dropout: float = 0.0
    cell: Literal["lstm", "gru"] = "lstm"
    vocabulary_size: int = 0
    """Text only: the number of token ids; 0 says that inputs are numbers."""
    import_path: str = ""


class Network(Record):
    """A trained torch network: one safetensors file whose header carries architecture and pruning history."""

    name: str
    """`dense`, or `channels-50` for one with half its channels cut."""
    file: Artifact
    architecture: Architecture
    loss: Literal["mse", "cross_entropy", "bce"]
    parameters: int
    """Weights that count: after magnitude pruning, those that are not zero."""
    metric: float
    """Accuracy (0 to 1) or RMSE in the target's unit, on the validation split."""


class Graph(Record):
    """An exported network: encoded tensors in, logits out. Quantizers work on this one."""

    name: str
    network: Network
    file: Artifact


class Candidate(Record):
    """A whole graph, raw rows in and answers out, that could be published."""

    name: str
    """`dense/none`, `channels-50/static`: the network and the scheme."""
    network: Network
    file: Artifact


class Measurement(Record):
    """One candidate, measured on ONNX Runtime."""

    name: str
    metric: float
    metric_low: float
    metric_high: float
    """A 95 % bootstrap interval of the metric on the validation split."""
    size_bytes: int
    compressed_bytes: int
    p50_ms: float
    p95_ms: float
    parity: float
    """Share of rows with the torch network's label; for regression, of values within 1e-3 of the target's scale."""
    largest_difference: float
    """Of a probability, or of a value in units of the target's scale."""
    compression_rate_parameters: float
    """(P - Q) / P against the dense network."""
    compression_rate_bytes: float
    speed_up: float
    """p50 of dense fp32 over p50 of this one."""
    within_budget: bool
    broken_limits: tuple[str, ...] = ()
    """One sentence for each limit that it breaks, with by how much."""


class Gate(Record):
    """Whether the winner may be published, and why."""

    passed: bool
    reason: str


class Verdict(Record):
    """What evaluation decided."""

    metric_name: Literal["accuracy", "rmse"]
    winner: Candidate
    reason: str
    """Why this candidate: one sentence."""
    measurements: tuple[Measurement, ...]
    test_metric: float
    """The winner's metric on the test split, which is read for it alone."""
    gate: Gate
    signature: Signature

    @property
    def winning(self) -> Measurement:
        """The winner's measurement."""
        return next(m for m in self.measurements if m.name == self.winner.name)


class ModelVersion(Record):
    """What a retraining returns: one version, published or not."""

    model: str
    version: str = ""
    seq: int = 0
    """Place of its publish entry in the journal; 0 when rejected."""
    status: Literal["published", "unchanged", "rejected"]
    reason: str = ""
    champion: bool = False
    manifest_uri: str = ""
    manifest_sha256: str = ""
    flow_run_id: str = ""
    flow_run_url: str = ""
    mlflow_run_id: str = ""
    mlflow_version_url: str = ""
    winner: str = ""
    candidates: tuple[Measurement, ...] = ()
    seconds: dict[str, float] = {}
