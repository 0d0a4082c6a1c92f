"""What evaluation measured and decided, and what became of the winner in other formats."""

from typing import Literal

from tasks.contracts.artifacts import Artifact, Candidate, Dropped
from tasks.contracts.record import Record
from tasks.contracts.signature import Signature


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
