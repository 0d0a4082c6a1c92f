"""The network alone, cut out of a published graph: from `encoded` to `logits`, quantized as it is there.

Runtimes without operators on strings take this part; words are encoded outside, by the encoder of the same dataset.
"""

import onnx
from onnx import TensorProto, helper

_PREFIX = "network/"
_INPUT, _OUTPUT = "preprocess/encoded", "network/logits"  # as `onnx_graph.assemble` calls them


def network_of(whole: bytes, encoded: onnx.ValueInfoProto) -> bytes:
    """The part of a whole graph that was trained.

    Args:
        whole: What `onnx_graph.assemble` made.
        encoded: The output of the dataset's preprocessor, which says the type and shape of an encoded row.
    """
    model = onnx.load_from_string(whole)
    graph = model.graph
    nodes = [node for node in graph.node if node.output[0].startswith(_PREFIX)]  # quantizers leave nodes nameless
    constants = [constant for constant in graph.initializer if constant.name.startswith(_PREFIX)]
    first = helper.make_node("Identity", ["encoded"], [_INPUT], name=f"{_PREFIX}first")
    last = helper.make_node("Identity", [_OUTPUT], ["logits"], name=f"{_PREFIX}last")
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", None])
    part = helper.make_graph([first, *nodes, last], "network", [encoded], [logits], constants)
    model.graph.CopyFrom(part)
    return bytes(model.SerializeToString(deterministic=True))
