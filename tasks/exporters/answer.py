"""The last nodes of a whole graph: from logits to what the signature promises.

| loss | logits | outputs |
|---|---|---|
| cross_entropy | (N, K) | probabilities = softmax, label = the first class of the highest probability |
| bce | (N, 1) | probabilities = [1 - p, p] with p = sigmoid, label likewise |
| mse | (N, 1) | value = logit * scale + mean, in the target's own unit |
"""

from typing import Any, Literal

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tasks.contracts.schema import Encoding, Schema

Loss = Literal["mse", "cross_entropy", "bce"]


def append_answer(graph: onnx.GraphProto, logits: str, schema: Schema, encoding: Encoding, loss: Loss) -> None:
    """Adds the nodes that turn the value named `logits` into the outputs of `signature_of(schema)`."""
    nodes, constants = _value(logits, encoding) if loss == "mse" else _label(logits, schema, loss)
    graph.node.extend(nodes)
    graph.initializer.extend(constants)


_Part = tuple[list[NodeProto], list[TensorProto]]


def _value(logits: str, encoding: Encoding) -> _Part:
    flat, scaled = "answer/flat", "answer/scaled"
    target = encoding.target
    constants = [_constant("answer/all_rows", np.array([-1], dtype=np.int64))]
    if target is None:
        return [_node("Reshape", [logits, "answer/all_rows"], "value")], constants
    constants += [
        _constant("answer/scale", np.array(target.scale, dtype=np.float32)),
        _constant("answer/mean", np.array(target.mean, dtype=np.float32)),
    ]
    nodes = [
        _node("Reshape", [logits, "answer/all_rows"], flat),
        _node("Mul", [flat, "answer/scale"], scaled),
        _node("Add", [scaled, "answer/mean"], "value"),
    ]
    return nodes, constants


def _label(logits: str, schema: Schema, loss: Loss) -> _Part:
    nodes = _two_probabilities(logits) if loss == "bce" else [_node("Softmax", [logits], "probabilities", axis=-1)]
    if schema.labels == tuple(range(len(schema.labels))):  # the index is the label: one node less at batch 1
        return [*nodes, _node("ArgMax", ["probabilities"], "label", axis=-1, keepdims=0)], []
    integers = all(isinstance(label, int) for label in schema.labels)
    nodes += [
        _node("ArgMax", ["probabilities"], "answer/index", axis=-1, keepdims=0),
        _node("Gather", ["answer/labels", "answer/index"], "label", axis=0),
    ]
    return nodes, [_constant("answer/labels", np.array(schema.labels, dtype=np.int64 if integers else object))]


def _two_probabilities(logits: str) -> list[NodeProto]:
    """1 - sigmoid(x) is taken as sigmoid(-x), which keeps its digits where p is near 1."""
    return [
        _node("Neg", [logits], "answer/negated"),
        _node("Concat", ["answer/negated", logits], "answer/both", axis=-1),
        _node("Sigmoid", ["answer/both"], "probabilities"),
    ]


def _node(operator: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(operator, inputs, [output], name=f"answer/{operator}/{output}", **attributes)


def _constant(name: str, values: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(values, name)
