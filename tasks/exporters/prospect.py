"""What a network will weigh and take before it is trained: neither depends on the values of its weights.

The limits are read kindly, since whatever breaks one here is never trained: each is held against the scheme that keeps
it best, and latency by its median, which a busy machine disturbs less than the 95th percentile.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
from torch import nn

from tasks.compressors.quantizer import quantize
from tasks.compressors.schemes import GraphScheme, Scheme
from tasks.contracts.artifacts import Plan, Prospect
from tasks.contracts.config import EvaluateConfig
from tasks.contracts.errors import GraphError
from tasks.exporters.onnx_graph import export_network
from tasks.runtime.latency import Latency, interleaved
from tasks.runtime.session import load

OPSET = 20
DENSE = "dense"
SECONDS = 0.1
"""Of timing each graph."""
SLACK = 1.1
"""So many times slower than dense fp32 counts as slower: less is noise in so short a time."""


def graphs_of(
    module: nn.Module,
    rows: np.ndarray,
    schemes: Sequence[Scheme],
    whole: Callable[[onnx.ModelProto], onnx.ModelProto],
) -> dict[str, bytes]:
    """The whole graph under every post-training scheme that can be had.

    Args:
        module: From encoded rows to logits.
        rows: Encoded rows (N, ...) to trace and to calibrate with.
        schemes: By name; those that need training or a measure of the loss weigh what static does.
        whole: Puts preprocessing and answers around a network.

    Raises:
        GraphError: If the module cannot be exported.
    """
    network = export_network(module, rows[:2], OPSET)
    graphs: dict[str, bytes] = {}
    for scheme in dict.fromkeys(map(_post_training, schemes)):
        try:
            quantized = quantize(network, scheme, rows)
        except GraphError:
            if scheme == "none":
                raise
            continue
        graphs[scheme] = whole(quantized).SerializeToString(deterministic=True)
    return graphs


def _post_training(scheme: Scheme) -> GraphScheme:
    match scheme:
        case "qat" | "mixed":
            return "static"
    return scheme


def prospect(
    plan: Plan,
    parameters: int,
    *,
    graphs: Mapping[str, bytes],
    dense: bytes,
    batch: Mapping[str, np.ndarray],
    limits: EvaluateConfig,
) -> Prospect:
    """Weigh and time the graphs, in turns with dense fp32.

    Args:
        plan: Which network it is.
        parameters: Its weights that count.
        graphs: Scheme to the whole graph.
        dense: The dense network's whole graph in fp32.
        batch: Raw rows of one request.
        limits: On bytes and latency; that on the metric needs training.
    """
    sessions = {scheme: load(graph, limits.threads) for scheme, graph in {**graphs, DENSE: dense}.items()}
    times = interleaved(sessions, batch, seconds=SECONDS)
    reference = times.pop(DENSE)
    fastest = min(times.values(), key=lambda each: each.p50_ms)
    size_bytes = min(map(len, graphs.values()))
    return Prospect(
        plan=plan,
        parameters=parameters,
        size_bytes=size_bytes,
        p95_ms=fastest.p95_ms,
        speed_up=reference.p50_ms / fastest.p50_ms,
        broken_limits=broken_limits(size_bytes, fastest, reference, limits),
    )


def broken_limits(size_bytes: int, fastest: Latency, reference: Latency, limits: EvaluateConfig) -> tuple[str, ...]:
    """One sentence for each limit that no scheme keeps, with by how much."""
    broken = []
    most_bytes, most_ms, p50_ms = limits.max_size_bytes, limits.max_p95_ms, fastest.p50_ms
    if most_bytes is not None and size_bytes > most_bytes:
        excess = size_bytes - most_bytes
        broken.append(f"max_size_bytes is {most_bytes}, but no scheme gives less than {size_bytes}: {excess} too many")
    if most_ms is not None and p50_ms > most_ms:
        broken.append(f"max_p95_ms is {most_ms:g}, but every scheme has a median of {p50_ms:.3g} or more")
    if most_ms is not None and p50_ms > SLACK * reference.p50_ms:
        broken.append(f"p50 is {p50_ms:.3g} ms or more, but dense fp32 takes {reference.p50_ms:.3g}: slower never wins")
    return tuple(broken)
