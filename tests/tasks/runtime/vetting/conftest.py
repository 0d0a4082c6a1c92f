"""Small graphs, sound and hostile."""

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


def model_of(nodes, *, initializers=(), domains=(), functions=()):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        list(initializers),
    )
    opsets = [helper.make_opsetid("", 20), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=list(functions))


def external(location="weights.data", name="w", **fields):
    tensor = numpy_helper.from_array(np.ones(2, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **fields}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


ADD = helper.make_node("Add", ["x", "w"], ["y"], name="sum")
RELU = helper.make_node("Relu", ["x"], ["y"], name="cut")


@pytest.fixture
def write(tmp_path):
    def written(model, name="model.onnx"):
        path = tmp_path / name
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return path

    return written


@pytest.fixture(scope="session")
def make():
    return SimpleNamespace(model_of=model_of, external=external, ADD=ADD, RELU=RELU, onnx=onnx, helper=helper)
