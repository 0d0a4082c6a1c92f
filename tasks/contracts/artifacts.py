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


class ColumnProfile(Record):
    """What one column looked like in training."""

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


Rule = Literal["number", "empty", "finite", "category", "label"]
"""What a cell can break; a row is counted under the first one, columns in the order of the schema."""


class Break(Record):
    """One rule that rows of a column broke."""

    column: str
    rule: Rule
    rows: int
    first: str
    """Where the first one stands: `row 17 of data.csv`."""


class Quarantine(Record):
    """The rows that were left out because they break the contract."""

    file: Artifact
    """Parquet with `file`, `row`, `column`, `rule`, `value`, and the row's `cells` as a JSON object of texts."""
    rows: int
    read: int
    """All rows of the source."""
    breaks: tuple[Break, ...]


class DatasetManifest(Record):
    """What lies at a dataset's uri. Its digest is the dataset's name; it is written last."""

    schema_: Schema
    encoding: Encoding
    profile: Profile
    splits: dict[Split, Artifact]
    rows: dict[Split, int]
    warnings: tuple[str, ...] = ()
    """What was found odd but not refused: duplicates, constant columns, rows shared between splits."""
    categories: dict[str, tuple[str, ...]] = {}
    """The words of each category on any side, and those that the contract knew; empty in older manifests."""
    quarantine: Quarantine | None = None
    """The rows that were left out because they break the contract of the champion."""
    gaps: dict[str, float] = {}
    """Share of the rows in which a column is empty, also of those that were dropped for it; {} in older manifests."""


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


class Hop(Record):
    """One step of the chain torch, pruned, exported, quantized, on the frozen golden batch."""

    name: Literal["pruned", "exported", "quantized"]
    label_agreement: float
    """Share of rows answered alike; for regression, of values within a quarter of the target's scale."""
    largest_difference: float
    """Of a probability, or of a value in units of the target's scale."""
    bound: str
    """What it must keep, in words."""
    passed: bool


class Conditions(Record):
    """Under which a latency was measured."""

    cpu: str
    cpu_flags: tuple[str, ...]
    """Those that int8 depends on: avx2, avx512_vnni, avx_vnni, amx_int8, asimddp, i8mm ..."""
    threads: int
    batch_size: int
    onnxruntime: str


class Measurement(Record):
    """One candidate, measured on ONNX Runtime."""

    name: str
    metric: float
    metric_low: float
    metric_high: float
    """A 95 % bootstrap interval of the metric on the validation split."""
    drop: float = 0.0
    """Loss against dense fp32: percentage points of accuracy, or per cent of RMSE."""
    drop_low: float = 0.0
    drop_high: float = 0.0
    """A paired 95 % interval of the drop: a drop whose interval holds zero is not told from noise."""
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
    unfused_pairs: int = 0
    """Quantize/dequantize pairs that ONNX Runtime left in its optimized graph: each costs time."""
    hops: tuple[Hop, ...] = ()
    """The parity ledger, from the dense torch network to this file."""
    on_front: bool = False
    """Whether no other candidate is as good in metric, bytes and latency and better in one."""


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
    dropped: tuple[Dropped, ...] = ()
    """Trials that did not come so far."""
    conditions: Conditions
    test_metric: float
    """The winner's metric on the test split, which is read for it alone."""
    gate: Gate
    signature: Signature

    @property
    def winning(self) -> Measurement:
        """The winner's measurement."""
        return next(m for m in self.measurements if m.name == self.winner.name)


class ExtraFormat(Record):
    """The winner in another format, held against its ONNX file."""

    name: str
    """`channels-50/static+openvino`."""
    format: Literal["openvino", "litert"]
    takes: Literal["rows", "encoded"]
    """Raw rows in and answers out, or encoded rows in and logits out: strings are encoded outside."""
    files: dict[str, Artifact] = {}
    """By their place in the folder of a version: `openvino/model.xml`; empty when refused."""
    size_bytes: int = 0
    """Of all its files."""
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    onnx_p50_ms: float = 0.0
    """Of ONNX Runtime on the same work, in turns in the same process."""
    batch_size: int = 1
    """Rows of one call while latency was measured; LiteRT takes one."""
    parity: float = 0.0
    """Share of rows answered alike: openvino as the ONNX file does, litert as the torch network whose floats it has."""
    largest_difference: float = 0.0
    """Of a probability, or of a value in units of the target's scale."""
    refused: str = ""
    """Why it is not published: it does not convert, or answers otherwise."""


class Influence(Record):
    """How much one input, or several together, drives the answers."""

    name: str
    """A column, a word, or a region of the image; several columns are joined by ` + `."""
    label: str = ""
    """Words: the class that it speaks for."""
    mean: float
    low: float
    high: float
    """A 95 % interval of the mean over repeats or occurrences; equal to it where there is only one."""
    count: int = 0
    """Repeats, occurrences of a word, or images."""


class Example(Record):
    """One text, word by word."""

    label: str
    """What the network answers, or ''."""
    words: tuple[str, ...]
    scores: tuple[float, ...]
    """What each word adds to that answer's logit."""


class Explanation(Record):
    """Which inputs drive the winner's answers."""

    method: Literal["permutation", "integrated gradients", "none"]
    unit: str = ""
    """What the figures of `influences` are, in words."""
    rows: int = 0
    """Of the validation split, that were looked at."""
    influences: tuple[Influence, ...] = ()
    """The strongest first."""
    together: tuple[Influence, ...] = ()
    """Columns that rise and fall together, shuffled as one: alone, each hides behind the others."""
    heat_maps: dict[str, tuple[tuple[float, ...], ...]] = {}
    """Images: the mean absolute attribution of each place, over `all` and for each class; pooled to 28 x 28 at most."""
    examples: tuple[Example, ...] = ()
    figure: Artifact | None = None
    """All of it in one image, PNG."""
    note: str = ""
    """What was left out or why there is nothing; one sentence."""


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
