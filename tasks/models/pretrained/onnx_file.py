"""ONNX files: one input, one answer, everything within the file, run by ONNX Runtime.

The batch axis is freed, whatever the exporter wrote there: whether the graph bears it is seen by running it.
"""

from collections.abc import Iterator

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, compose, external_data_helper, helper, inliner, numpy_helper
from torch import Tensor

from tasks.contracts.errors import IngotError, ModelError
from tasks.models.pretrained.formats import not_whole
from tasks.models.pretrained.frozen import Opened
from tasks.models.pretrained.reading import Wanted
from tasks.runtime.session import load

STANDARD = ("", "ai.onnx", "ai.onnx.ml")
OLDEST_OPSET = 7
"""ONNX Runtime promises nothing below."""
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
WHOLE = (TensorProto.INT64, TensorProto.INT32, TensorProto.UINT8, TensorProto.INT8, TensorProto.BOOL)
PREFIX, BATCH = "pretrained/", "batch"
LAST = {"Softmax": (2, None), "Sigmoid": (1, 1)}
"""Activations that a graph may end in; fewest and most columns with which they give the classes' probabilities."""


def checked(content: bytes, name: str) -> bytes:
    """The graph with float32 in and out, a free batch axis and names that clash with none of ours.

    Raises:
        ModelError: It is broken, or leans on something outside the file.
    """
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise not_whole(name, "ONNX file", error) from error
    if not model.graph.node or not model.graph.input or not model.graph.output:
        raise not_whole(name, "ONNX file", "it has no graph")
    _refuse_foreign(model, name)
    model = inliner.inline_local_functions(model) if model.functions else model
    for entry in model.opset_import:
        entry.domain = "" if entry.domain == "ai.onnx" else entry.domain
    inner = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in inner]
    _keep(model.graph.input, [_only_input(inputs, name)])
    _keep(model.graph.output, [_only_answer(list(model.graph.output), name)])
    del model.graph.value_info[:]
    compose.add_prefix(model, PREFIX, inplace=True)
    _take_float32(model.graph)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    model.ir_version = max(model.ir_version, 8)
    return bytes(model.SerializeToString(deterministic=True))


def without_last_activation(content: bytes) -> bytes:
    """The same without a Softmax or Sigmoid at its end: what remains are the logits, with all their digits."""
    model = onnx.ModelProto.FromString(content)
    graph, answer = model.graph, model.graph.output[0]
    shape = answer.type.tensor_type.shape.dim
    columns = shape[1].dim_value if len(shape) == 2 else 0
    made = next((node for node in graph.node if answer.name in node.output), None)
    if made is None or made.op_type not in LAST or not columns:
        return content
    fewest, most = LAST[made.op_type]
    axis = next((attribute.i for attribute in made.attribute if attribute.name == "axis"), -1)
    if columns < fewest or (most and columns > most) or axis not in (-1, 1):
        return content
    if sum(answer.name in node.input for node in graph.node):
        return content
    answer.name = made.input[0]
    graph.node.remove(made)
    return bytes(model.SerializeToString(deterministic=True))


def opened(content: bytes) -> Opened:
    """The graph in a session of ONNX Runtime."""
    model = onnx.ModelProto.FromString(content)
    try:
        session = load(content)
    except IngotError as error:
        raise ModelError(str(error)) from error
    (rows,), answer = session.inputs, session.outputs[0].name
    shape = tuple(None if size < 0 else size for size in rows.shape[1:])
    whole = any(node.op_type == "Cast" and node.name == f"{PREFIX}whole" for node in model.graph.node)
    parameters = sum(int(np.count_nonzero(numpy_helper.to_array(each))) for each in model.graph.initializer)

    def run(tensor: Tensor) -> Tensor:
        return torch.from_numpy(session.run({rows.name: tensor.detach().numpy()})[answer])

    return Opened(run, max(1, parameters), Wanted(shape, whole=whole))


def _refuse_foreign(model: onnx.ModelProto, name: str) -> None:
    for tensor in _tensors(model):
        if external_data_helper.uses_external_data(tensor):
            raise ModelError(
                f"train.source {name} keeps {tensor.name!r} in another file, but must hold all of its weights: "
                "onnx.save(model, path, save_as_external_data=False)"
            )
    own = {function.domain for function in model.functions}
    for node in _nodes(model.graph):
        if node.domain not in STANDARD and node.domain not in own:
            raise ModelError(
                f"train.source {name} uses {node.domain}.{node.op_type}, but must use standard operators alone: "
                "export it without optimisation for one runtime"
            )
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    newest = onnx.defs.onnx_opset_version()
    if opset and not OLDEST_OPSET <= opset <= newest:
        raise ModelError(
            f"train.source {name} is of opset {opset}, but must be of {OLDEST_OPSET} to {newest}: export it anew"
        )


def _only_input(inputs: list[onnx.ValueInfoProto], name: str) -> onnx.ValueInfoProto:
    if len(inputs) != 1:
        named = ", ".join(value.name for value in inputs)
        raise ModelError(f"train.source {name} has {len(inputs)} inputs ({named}), but must have one: join them")
    kind = inputs[0].type.tensor_type.elem_type
    if kind not in FLOATS + WHOLE:
        told = TensorProto.DataType.Name(kind)
        raise ModelError(
            f"train.source {name} takes {told}, but must take numbers: leave preprocessing of words out of it"
        )
    if not inputs[0].type.tensor_type.shape.dim:
        raise ModelError(f"train.source {name} does not say the shape of its input: export it anew")
    return inputs[0]


def _only_answer(outputs: list[onnx.ValueInfoProto], name: str) -> onnx.ValueInfoProto:
    floats = [value for value in outputs if value.type.tensor_type.elem_type in FLOATS]
    if len(floats) != 1:
        named = ", ".join(value.name for value in outputs)
        raise ModelError(
            f"train.source {name} has {len(floats)} outputs of floats among {named}, but must have one: "
            "the logits or probabilities (skl2onnx: options={'zipmap': False})"
        )
    if not floats[0].type.tensor_type.shape.dim:
        raise ModelError(f"train.source {name} does not say the shape of its answer: run onnx.shape_inference on it")
    return floats[0]


def _take_float32(graph: onnx.GraphProto) -> None:
    """Casts at both ends, where the graph reckons with other types."""
    value, answer = graph.input[0], graph.output[0]
    kind = value.type.tensor_type.elem_type
    if kind != TensorProto.FLOAT:
        inner, label = value.name, "whole" if kind in WHOLE else "floats"
        value.name, value.type.tensor_type.elem_type = f"{PREFIX}float32", TensorProto.FLOAT
        graph.node.insert(0, helper.make_node("Cast", [value.name], [inner], name=f"{PREFIX}{label}", to=kind))
    if answer.type.tensor_type.elem_type != TensorProto.FLOAT:
        inner = answer.name
        answer.name, answer.type.tensor_type.elem_type = f"{PREFIX}answer", TensorProto.FLOAT
        graph.node.append(helper.make_node("Cast", [inner], [answer.name], name=answer.name, to=TensorProto.FLOAT))


def _keep(field: "list[onnx.ValueInfoProto]", values: list[onnx.ValueInfoProto]) -> None:
    copies = []
    for value in values:
        copy = onnx.ValueInfoProto()
        copy.CopyFrom(value)
        copies.append(copy)
    del field[:]
    field.extend(copies)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that could lie elsewhere; onnx's own helper leaves those of functions out."""
    yield from external_data_helper._get_all_tensors(model)
    for function in model.functions:
        for node in function.node:
            yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))
