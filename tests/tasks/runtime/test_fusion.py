import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tasks.contracts.errors import GraphError
from tasks.runtime.fusion import unfused_pairs


def graph_of(*nodes: onnx.NodeProto) -> bytes:
    """Rows of 4 numbers in, `y` out; a scale `s`, a zero `z`, and a matrix `w` in int8 with zero `z8`."""
    random = np.random.default_rng(0)
    constants = {
        "s": np.float32(0.1),
        "z": np.uint8(128),
        "z8": np.int8(0),
        "w": random.integers(-60, 60, size=(4, 4)).astype(np.int8),
    }
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", value[:1], value[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model.SerializeToString()


def quantize(source: str, target: str) -> onnx.NodeProto:
    return helper.make_node("QuantizeLinear", [source, "s", "z"], [target])


def dequantize(source: str, target: str, zero: str = "z") -> onnx.NodeProto:
    return helper.make_node("DequantizeLinear", [source, "s", zero], [target])


def test_a_pair_around_an_operator_that_computes_in_float_is_counted():
    erf = helper.make_node("Erf", ["b"], ["c"])
    nodes = [quantize("x", "a"), dequantize("a", "b"), erf, quantize("c", "d"), dequantize("d", "y")]
    assert unfused_pairs(graph_of(*nodes)) == 2


def test_a_product_that_is_fused_leaves_no_pair_around_it():
    product = helper.make_node("MatMul", ["b", "v"], ["c"])
    nodes = [quantize("x", "a"), dequantize("a", "b"), dequantize("w", "v", "z8"), product]
    assert unfused_pairs(graph_of(*nodes, quantize("c", "d"), dequantize("d", "y"))) <= 1
    assert unfused_pairs(graph_of(*nodes[:-1], helper.make_node("MatMul", ["b", "v"], ["y"]))) == 0


def test_a_float_graph_has_none():
    assert unfused_pairs(graph_of(helper.make_node("Erf", ["x"], ["y"]))) == 0


def test_a_graph_that_cannot_be_loaded_is_refused():
    with pytest.raises(GraphError, match="the graph cannot be optimized: "):
        unfused_pairs(graph_of(helper.make_node("Conjure", ["x"], ["y"])))


def test_counting_imports_no_torch():
    program = "import sys, tasks.runtime.fusion; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
