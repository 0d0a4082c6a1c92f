"""The graph of a pretrained ONNX file as a network of the chain: `encoded` in, `logits` out, nothing traced.

What `Reading` and `Answer` do in torch is said here in ONNX; the sweep of `parity` holds the two against each other.
"""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter
from torch import nn

from tasks.contracts.errors import GraphError
from tasks.models.pretrained import Frozen, Pretrained
from tasks.models.pretrained.answer import LARGEST, SMALLEST, Answer
from tasks.models.pretrained.reading import Reading

OLDEST_KEPT = 18
"""Since this opset ours and theirs mean the same; older graphs are converted."""
IR_VERSION = 10


def brings_its_graph(module: nn.Module) -> bool:
    """Whether a module needs no tracing, because its file is a graph already."""
    return isinstance(module, Pretrained) and isinstance(module.model, Frozen) and module.model.file_format == "onnx"


def adopt(module: nn.Module, row_shape: tuple[int, ...], opset: int) -> onnx.ModelProto:
    """The graph of its file, at `opset` or above.

    Args:
        module: One that brings its graph.
        row_shape: Of one encoded row.
        opset: Version of the ONNX operators.

    Raises:
        GraphError: The graph cannot be brought to this opset.
    """
    if not isinstance(module, Pretrained) or not isinstance(module.model, Frozen):
        raise GraphError(f"{type(module).__name__} brings no graph, but must: trace it")
    model = _converted(onnx.ModelProto.FromString(module.model.content), opset)
    graph = model.graph
    first, last = _Chain("adopt/reading"), _Chain("adopt/answer")
    _read(first, module.reading, graph.input[0].name)
    _answer(last, module.answer, graph.output[0])
    _join(graph, first, last)
    del graph.input[:], graph.output[:]
    graph.input.append(helper.make_tensor_value_info("encoded", TensorProto.FLOAT, ["batch", *row_shape]))
    graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", module.answer.outputs]))
    model.ir_version = max(model.ir_version, IR_VERSION)
    return model


class _Chain:
    """Nodes one behind the other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """A node; returns the name of its output."""
        made = f"{self.name}/{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [made], name=f"{made}/{operator}", **attributes))
        return made

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """A constant; returns its name."""
        made = f"{self.name}/constant/{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype=dtype), made))
        return made

    def end(self, name: str) -> None:
        """Calls the last output by this name."""
        self.nodes[-1].output[0] = name


def _read(chain: _Chain, reading: Reading, into: str) -> None:
    last = "encoded"
    if reading.channels_last:
        last = chain.add("Transpose", [last], perm=[0, 2, 3, 1])
    if reading.shape is not None:
        last = chain.add("Reshape", [last, chain.constant([-1, *reading.shape], np.int64)])
    if chain.nodes:
        chain.end(into)


def _answer(chain: _Chain, answer: Answer, given: onnx.ValueInfoProto) -> None:
    last = given.name
    if len(given.type.tensor_type.shape.dim) != 2:
        last = chain.add("Reshape", [last, chain.constant([-1, answer.width], np.int64)])
    if answer.kind == "value":
        last = chain.add("Sub", [last, chain.constant(answer.mean)])
        last = chain.add("Div", [last, chain.constant(answer.scale)])
    if answer.kind == "probabilities":
        last = _logarithm(chain, answer, last)
    if answer.width < answer.outputs:
        zeros = chain.add("Mul", [last, chain.constant(0.0)])
        chain.add("Concat", [zeros, last], axis=1)
    elif answer.width > answer.outputs:
        chain.add("MatMul", [last, chain.constant([[-1.0], [1.0]])])
    if chain.nodes:
        chain.end("logits")


def _logarithm(chain: _Chain, answer: Answer, last: str) -> str:
    last = chain.add("Clip", [last, chain.constant(SMALLEST), chain.constant(LARGEST)])
    logarithm = chain.add("Log", [last])
    if answer.width > 1:
        return logarithm
    other = chain.add("Log", [chain.add("Sub", [chain.constant(1.0), last])])
    return chain.add("Sub", [logarithm, other])


def _join(graph: onnx.GraphProto, first: _Chain, last: _Chain) -> None:
    names = {} if first.nodes else {graph.input[0].name: "encoded"}
    names |= {} if last.nodes else {graph.output[0].name: "logits"}
    _rename(graph, names)
    nodes = [*first.nodes, *graph.node, *last.nodes]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    graph.initializer.extend([*first.constants, *last.constants])


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Everywhere, graphs within nodes included."""
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(each, each) for each in values]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename(inner, names)


def _converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    found = next((entry.version for entry in model.opset_import if entry.domain == ""), 0)
    if not found:  # trees alone: ours come beside them
        model.opset_import.append(helper.make_opsetid("", opset))
        return model
    if found >= OLDEST_KEPT:
        return model
    try:
        return version_converter.convert_version(model, opset)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise GraphError(
            f"the pretrained graph is of opset {found}, and cannot be brought to {opset} ({reason}): "
            f"export it anew at opset {OLDEST_KEPT} or later"
        ) from error
