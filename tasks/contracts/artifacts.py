"""The records that tasks hand on: where a thing lies, its digest, and the facts the next step needs. Never tensors."""

from typing import Literal

from tasks.contracts.record import Record


class Artifact(Record):
    """Immutable bytes in the store, named by their digest."""

    uri: str
    """`s3://bucket/blobs/sha256/<hex>` of the first chunk."""
    sha256: str
    """Digest of the whole."""
    size_bytes: int
    chunks: tuple[str, ...]
    """Digests of the pieces of at most 64 MiB, in order; for a small artifact its own digest."""
    transit_bytes: int = 0
    """What a reader fetches: chunks are stored under zstd where that pays. 0 in records older than that."""


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
    foreign_digest: str = ""
    """Of what the recipe names from outside: a custom model's module, a pretrained model's file."""
    step_key: str = ""
    """The key of the result that the step under way works for; its checkpoints bear it."""


class Plan(Record):
    """One way to make the dense network smaller, before any number format."""

    ratio: float = 0.0
    """Share of channels to remove."""
    sparsity: float = 0.0
    """Share of the weights that are left then to zero."""
    hidden_sizes: tuple[int, ...] = ()
    """A student of these sizes instead, trained from nothing."""

    @property
    def name(self) -> str:
        """What its network is called.

        >>> Plan().name, Plan(ratio=0.5, sparsity=0.95).name, Plan(hidden_sizes=(64, 32)).name
        ('dense', 'channels-50-magnitude-95', 'student-64-32')
        """
        if self.hidden_sizes:
            return "student-" + "-".join(map(str, self.hidden_sizes))
        parts = [("channels", self.ratio), ("magnitude", self.sparsity)]
        return "-".join(f"{what}-{100 * share:g}" for what, share in parts if share) or "dense"


class Prospect(Record):
    """An untrained copy of a plan's network: bytes and latency do not depend on the weights."""

    plan: Plan
    parameters: int
    size_bytes: int
    """Of its whole graph under the scheme that makes it smallest."""
    p95_ms: float
    """Under the scheme that makes it fastest."""
    speed_up: float
    """p50 of dense fp32 over its own, likewise."""
    broken_limits: tuple[str, ...] = ()
    """The limits that no scheme can keep: such a plan is not worth an epoch."""


class Architecture(Record):
    """Everything that is needed to build an untrained network."""

    family: Literal["linear", "mlp", "cnn", "resnet", "rnn", "transformer", "custom", "pretrained"]
    input_shape: tuple[int, ...]
    """Shape of one encoded row: (D,), (C, H, W), or (L,) token ids for text."""
    output_size: int
    hidden_sizes: tuple[int, ...]
    dropout: float = 0.0
    cell: Literal["lstm", "gru"] = "lstm"
    vocabulary_size: int = 0
    """Text only: the number of token ids; 0 says that inputs are numbers."""
    import_path: str = ""
    file_format: Literal["", "onnx", "safetensors", "keras", "torchscript", "pt2"] = ""
    """Family pretrained: how its file is written."""


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
    epochs: int = 0
    """Passes over the training split since it was cut, or since a student was built."""


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
    metric: float
    """Accuracy (0 to 1) or RMSE in the target's unit, on the validation split, by ONNX Runtime."""
    kept_float: tuple[str, ...] = ()
    """Nodes that were left in float because they lose too much in int8."""

    @property
    def scheme(self) -> str:
        """The number format, the last part of the name."""
        return self.name.rpartition("/")[2]


Rung = Literal["schemes", "survey", "finetune", "quantize", "time"]


class Dropped(Record):
    """A trial that the search gave up, and why."""

    name: str
    """Of the network, or of the candidate."""
    rung: Rung
    """Where it was dropped."""
    reason: str


class Findings(Record):
    """What a search hands to evaluation."""

    candidates: tuple[Candidate, ...]
    dropped: tuple[Dropped, ...] = ()
