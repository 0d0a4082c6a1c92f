"""From a torch network to ONNX: first the network alone, then the whole graph from raw rows to answers.

Both are canonical: no stack traces, paths or other metadata, so that one network has one digest on every machine.
Quantizers work on the network alone; the whole is assembled around whatever they return.
"""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, compose, helper
from torch import nn

from tasks.contracts.errors import GraphError
from tasks.contracts.schema import Encoding, Schema
from tasks.contracts.signature import Datatype, Tensor, signature_of
from tasks.exporters.adopted import adopt, brings_its_graph
from tasks.exporters.answer import Loss, append_answer

PRODUCER = "ingot"
BATCH = "batch"
_TRACED_ROWS = 5  # 0 and 1 would be burnt in; 5 is a width that nobody chooses
_ELEMENT_TYPES: dict[Datatype, int] = {
    "FP32": TensorProto.FLOAT,
    "INT64": TensorProto.INT64,
    "UINT8": TensorProto.UINT8,
    "BYTES": TensorProto.STRING,
}
# torch writes opset 23's Attention, which ONNX Runtime 1.31 refuses at other batch sizes and no quantizer knows.
_NEWEST_TRACED = 22
# Operators whose meaning, not only whose types, changed between opsets 18 and 23: they cannot be relabelled.
_CHANGED_SINCE_18 = {"DFT": 20, "GridSample": 20, "GroupNormalization": 21}
_one_export = threading.Lock()  # torch.export keeps process-wide state, and mapped tasks share a process


def export_network(module: nn.Module, example: np.ndarray | torch.Tensor, opset: int) -> onnx.ModelProto:
    """The network as ONNX: input `encoded`, output `logits`, both with a free axis `batch`.

    The same weights give the same bytes under `SerializeToString(deterministic=True)`, in any process.

    Args:
        module: Any module of one tensor to logits (N, K); its mode is put back to what it was.
        example: At least one encoded row (N, ...), float32 or int64; only its type and shape matter.
        opset: Version of the ONNX operators.

    Raises:
        GraphError: If the module cannot be traced, or works for one batch size only.
    """
    rows = torch.as_tensor(example)
    rows = rows[torch.arange(_TRACED_ROWS) % len(rows)]
    was_training = module.training
    module.eval()
    try:
        with _one_export, torch.no_grad(), _quiet():
            _check_forward(module, rows)
            model = _adopt(module, rows, opset) if brings_its_graph(module) else _trace(module, rows, opset)
    finally:
        module.train(was_training)
    _refuse_pinned_batch(model)
    return canonical(model, "network")


def assemble(
    preprocessor: onnx.ModelProto, network: onnx.ModelProto, schema: Schema, encoding: Encoding, loss: Loss
) -> onnx.ModelProto:
    """The whole graph: raw rows in, answers out, exactly as `signature_of(schema)` says.

    Args:
        preprocessor: From raw columns to `encoded`, of `datasets.preprocessing`.
        network: From `encoded` to `logits`, in float or quantized.
        schema: Names, kinds and labels.
        encoding: Of the target, to answer in its own unit.
        loss: What the network was trained on, which says what its logits mean.

    Raises:
        GraphError: If the parts do not fit each other or the schema.
    """
    signature = signature_of(schema)
    _check_parts(preprocessor, network, schema, loss)
    first, second = _copy(preprocessor), _copy(network)
    _level(first, second)
    compose.add_prefix(first, "preprocess/", rename_inputs=False, inplace=True)
    compose.add_prefix(second, "network/", inplace=True)
    try:
        model = compose.merge_models(first, second, io_map=[("preprocess/encoded", "network/encoded")])
        _import_each_once(model)
        append_answer(model.graph, "network/logits", schema, encoding, loss)
        for values, tensors in ((model.graph.input, signature.inputs), (model.graph.output, signature.outputs)):
            del values[:]
            values.extend(_value_info(tensor) for tensor in tensors)
        model = canonical(model, "model")
        onnx.checker.check_model(model, full_check=True)
    except (ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GraphError(f"preprocessing and network do not make one sound graph: {_one_line(error)}") from error
    return model


def canonical(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The same graph with nothing in it that does not change its answers: no metadata, inferred shapes or comments."""
    del model.graph.value_info[:]
    del model.metadata_props[:]
    _strip(model)
    model.graph.name = name
    model.producer_name, model.producer_version = PRODUCER, ""
    model.domain, model.model_version = "", 0
    return model


def _strip(message: Any) -> None:
    """Of a protobuf message and all that it holds."""
    for field, value in message.ListFields():
        if field.name in ("doc_string", "metadata_props"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for child in [value] if hasattr(value, "ListFields") else value:
                _strip(child)


def _check_forward(module: nn.Module, rows: torch.Tensor) -> None:
    try:
        logits = module(rows)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise GraphError(
            f"the network does not run on a batch of {len(rows)} rows, but must run on any: "
            f"look for a fixed batch size in a view or reshape ({_one_line(error)})"
        ) from error
    shape = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != len(rows):
        raise GraphError(f"the network answers {len(rows)} rows by {shape}, but must give logits [{len(rows)}, K]")


def _trace(module: nn.Module, rows: torch.Tensor, opset: int) -> onnx.ModelProto:
    try:
        program = torch.onnx.export(
            module,
            (rows,),
            dynamo=True,
            input_names=["encoded"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim(BATCH)},),
            opset_version=min(opset, _NEWEST_TRACED),
            verbose=False,
        )
    except (torch.onnx.OnnxExporterError, onnx.checker.ValidationError) as error:
        if "data-dependent" in str(error.__cause__):
            raise GraphError(
                "the network branches on the values of its rows, but a graph has one path for all: "
                f"replace the if by torch.where ({_one_line(error.__cause__ or error)[:120]})"
            ) from error
        raise GraphError(
            f"the network cannot be exported at opset {opset}: {_one_line(error.__cause__ or error)}"
        ) from error
    if program is None:
        raise GraphError(f"the network cannot be exported at opset {opset}: torch.onnx gave no graph")
    model = program.model_proto
    _relabel(model, "", opset)
    return model


def _adopt(module: nn.Module, rows: torch.Tensor, opset: int) -> onnx.ModelProto:
    """A pretrained graph as it is: at the opset that is asked for, or at its own where that is newer."""
    model = adopt(module, tuple(rows.shape[1:]), opset)
    _relabel(model, "", max(opset, *(entry.version for entry in model.opset_import if entry.domain == "")))
    return model


def _refuse_pinned_batch(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        axis = value.type.tensor_type.shape.dim[0]
        if axis.dim_param != BATCH:
            raise GraphError(
                f"the batch axis of {value.name!r} is pinned to {axis.dim_value or axis.dim_param}, but must be free: "
                "look for a fixed batch size in a view, a reshape or a Python loop over rows"
            )


def _check_parts(preprocessor: onnx.ModelProto, network: onnx.ModelProto, schema: Schema, loss: Loss) -> None:
    signature = signature_of(schema)
    found = {value.name: value.type.tensor_type.elem_type for value in preprocessor.graph.input}
    asked = {tensor.name: _ELEMENT_TYPES[tensor.datatype] for tensor in signature.inputs}
    if found != asked:
        raise GraphError(f"the preprocessor takes {sorted(found)}, but the schema has {sorted(asked)}: ingest again")
    clash = sorted(asked.keys() & {tensor.name for tensor in signature.outputs})
    if clash:
        raise GraphError(f"feature {clash[0]!r} has the name of an output: rename the column, or exclude it")
    if (loss == "mse") != (schema.task == "regression"):
        raise GraphError(f"loss is {loss}, but the target {schema.target!r} is for {schema.task}: train it again")
    (encoded,), (logits,) = network.graph.input, network.graph.output
    made = preprocessor.graph.output[0].type.tensor_type.elem_type
    if made != encoded.type.tensor_type.elem_type:
        raise GraphError(f"the preprocessor gives element type {made}, but the network takes another: export again")
    answers = len(schema.labels) if loss == "cross_entropy" else 1
    given = logits.type.tensor_type.shape.dim[-1].dim_value
    if given != answers:
        raise GraphError(f"the network gives {given} logits, but {loss} on {schema.target!r} needs {answers}")


def _level(first: onnx.ModelProto, second: onnx.ModelProto) -> None:
    """Puts two models at the higher of their versions; what was added since 18 left the old operators' meaning."""
    for key in ("ai.onnx.ml", ""):
        imports = [entry for model in (first, second) for entry in model.opset_import if entry.domain == key]
        highest = max((entry.version for entry in imports), default=0)
        for model in (first, second):
            _relabel(model, key, highest)
    first.ir_version = second.ir_version = max(first.ir_version, second.ir_version)


def _relabel(model: onnx.ModelProto, domain: str, version: int) -> None:
    for entry in model.opset_import:
        if entry.domain == domain:
            for node in model.graph.node:
                if domain == "" and entry.version < _CHANGED_SINCE_18.get(node.op_type, 0) <= version:
                    raise GraphError(
                        f"{node.op_type} changed its meaning in opset {_CHANGED_SINCE_18[node.op_type]}: "
                        f"export at opset {version} instead of {entry.version}"
                    )
            entry.version = version


def _import_each_once(model: onnx.ModelProto) -> None:
    used = {node.domain for node in model.graph.node} | {""}
    versions = {entry.domain: entry.version for entry in model.opset_import if entry.domain in used}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, versions[domain]) for domain in sorted(versions))


def _value_info(tensor: Tensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, _ELEMENT_TYPES[tensor.datatype], [BATCH, *tensor.shape[1:]])


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's advice to its authors off the user's terminal; what goes wrong is raised."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
