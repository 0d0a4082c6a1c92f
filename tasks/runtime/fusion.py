"""How much of an int8 graph ONNX Runtime could fuse: where it could not, values are converted to float and back."""

import tempfile
from pathlib import Path
from typing import Any

import onnxruntime

from tasks.contracts.errors import GraphError
from tasks.runtime.session import NATIVE_ERRORS, options


def unfused_pairs(model: bytes) -> int:
    """Conversions to int8 that are undone at once, in the graph as ONNX Runtime optimizes it for this CPU.

    Each pair costs time and says that the operators around it compute in float; a graph that is all float, or int8
    throughout, has none.

    Args:
        model: A serialized graph.

    Raises:
        GraphError: If ONNX Runtime cannot load it.
    """
    nodes = _optimized(model)
    quantized = {node.output[0] for node in nodes if node.op_type == "QuantizeLinear"}
    return sum(node.op_type == "DequantizeLinear" and node.input[0] in quantized for node in nodes)


def _optimized(model: bytes) -> list[Any]:
    import onnx

    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        settings = options(threads=1)
        settings.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        try:
            onnxruntime.InferenceSession(model, sess_options=settings, providers=["CPUExecutionProvider"])
        except NATIVE_ERRORS as error:
            raise GraphError(f"the graph cannot be optimized: {' '.join(str(error).split())[:500]}") from error
        return list(onnx.load(settings.optimized_model_filepath).graph.node)
