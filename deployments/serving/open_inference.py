"""The Open Inference Protocol V2 dialect, in JSON: tensors in, tensors out, and what a model is made of.

Source: https://github.com/kserve/open-inference-protocol, `specification/protocol/inference_rest.md`. Binary tensors
are another dialect and not spoken here; a wish for binary outputs is answered in JSON, which the protocol allows.
"""

from math import prod
from typing import Any

import numpy as np

from deployments.serving.library import Served, Shelf
from deployments.serving.question import Arrays, Question, finite
from deployments.serving.refusal import Refusal, clipped, shown
from deployments.serving.tensors import flatten, is_nested, place_at, to_array
from tasks.contracts.errors import unknown_name
from tasks.contracts.signature import Signature, Tensor

PLATFORM = "onnx_onnxv1"


def metadata(shelf: Shelf, served: Served) -> dict[str, Any]:
    """What a version takes and gives, and which others are at hand."""
    signature = served.manifest.signature
    return {
        "name": served.model,
        "versions": [each.version for each in shelf.served],
        "platform": PLATFORM,
        "inputs": [_described(tensor) for tensor in signature.inputs],
        "outputs": [_described(tensor) for tensor in signature.outputs],
        "parameters": {
            "version": served.version,
            "seq": served.seq,
            "candidate": served.manifest.candidate,
            "manifest_sha256": served.manifest_sha256,
            "refused_versions": shelf.refused,
            "last_refusal": shelf.last_refusal,
        },
    }


def _described(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def read_tensors(served: Served, body: dict[str, Any]) -> Question:
    """Reads an inference request.

    Raises:
        Refusal: If a tensor is missing, unknown, named twice, or not of its datatype and shape.
    """
    signature = served.manifest.signature
    _check_envelope(body)
    wanted = _wanted(body.get("outputs"), signature)
    inputs = _inputs(body.get("inputs"), signature)
    rows = _rows(inputs)

    def word(outputs: Arrays) -> Any:
        answer: dict[str, Any] = {"model_name": served.model, "model_version": served.version}
        if body.get("id") is not None:
            answer["id"] = body["id"]
        finite(outputs)
        answer["outputs"] = [_answered(tensor, outputs[tensor.name]) for tensor in wanted]
        return answer

    return Question(inputs, rows, word)


def _answered(tensor: Tensor, array: np.ndarray) -> dict[str, Any]:
    flat = array.reshape(-1)
    data = flat.tolist() if tensor.datatype == "BYTES" else np.ascontiguousarray(flat)
    return {"name": tensor.name, "shape": list(array.shape), "datatype": tensor.datatype, "data": data}


def _check_envelope(body: dict[str, Any]) -> None:
    for field, kind, said in (("id", str, "a string"), ("parameters", dict, "an object")):
        value = body.get(field)
        if value is not None and type(value) is not kind:
            raise Refusal("wrong_type", f"{field} is {shown(value)}, but must be {said}", field=field)


def _objects(value: Any, field: str) -> list[dict[str, Any]]:
    if type(value) is not list:
        code = "missing_field" if value is None else "wrong_type"
        raise Refusal(code, f"{field} is {shown(value)}, but must be a list of tensors", field=field)
    if not value:
        raise Refusal("empty_inputs", f"{field} is empty, but must name at least one tensor", field=field)
    for index, item in enumerate(value):
        if type(item) is not dict or type(item.get("name")) is not str:
            place = f"{field}[{index}]"
            raise Refusal("wrong_type", f"{place} is {shown(item)}, but must be an object with a name", field=place)
    return value


def _by_name(items: list[dict[str, Any]], known: dict[str, Tensor], field: str) -> dict[str, int]:
    places: dict[str, int] = {}
    for index, item in enumerate(items):
        name, place = item["name"], f"{field}[{index}].name"
        if name not in known:
            message = unknown_name(field[:-1], clipped(name), known)
            raise Refusal(f"unknown_{field[:-1]}", message, field=place)
        if name in places:
            raise Refusal("duplicate_tensor", f"{place} is {name!r} again, but must be named once", field=place)
        places[name] = index
    return places


def _wanted(value: Any, signature: Signature) -> tuple[Tensor, ...]:
    if value is None or value == []:
        return signature.outputs
    known = {tensor.name: tensor for tensor in signature.outputs}
    return tuple(known[name] for name in _by_name(_objects(value, "outputs"), known, "outputs"))


def _inputs(value: Any, signature: Signature) -> dict[str, np.ndarray]:
    items = _objects(value, "inputs")
    places = _by_name(items, {tensor.name: tensor for tensor in signature.inputs}, "inputs")
    for tensor in signature.inputs:
        if tensor.name not in places:
            known = ", ".join(each.name for each in signature.inputs)
            message = f"input {tensor.name!r} is missing, but this model takes {known}: send them all"
            raise Refusal("missing_input", message, field="inputs")
    return {tensor.name: _array(tensor, items[places[tensor.name]], places[tensor.name]) for tensor in signature.inputs}


def _array(tensor: Tensor, item: dict[str, Any], index: int) -> np.ndarray:
    field = f"inputs[{index}]"
    _check_datatype(tensor, item.get("datatype"), f"{field}.datatype")
    shape = _shape(tensor, item.get("shape"), f"{field}.shape")
    data, field = _data(item, field), f"{field}.data"
    values = flatten(data, shape, field)
    written = shape if is_nested(data) else (prod(shape),)
    return to_array(tensor, values, lambda place: place_at(field, place, written)).reshape(shape)


def _check_datatype(tensor: Tensor, datatype: Any, place: str) -> None:
    if datatype != tensor.datatype:
        message = f"{place} is {shown(datatype)}, but must be {tensor.datatype} for input {tensor.name!r}"
        raise Refusal("unsupported_datatype", message, field=place)


def _shape(tensor: Tensor, shape: Any, place: str) -> tuple[int, ...]:
    numbers = type(shape) is list and all(type(size) is int for size in shape)
    if not numbers or len(shape) != len(tensor.shape) or tuple(shape[1:]) != tensor.shape[1:] or shape[0] < 0:
        message = f"{place} is {shown(shape)}, but must be {list(tensor.shape)}: -1 stands for the number of rows"
        raise Refusal("wrong_shape", message, field=place)
    if shape[0] == 0:
        raise Refusal("empty_inputs", f"{place} is {shape}, but must have at least one row", field=place)
    return tuple(shape)


def _data(item: dict[str, Any], field: str) -> list[Any]:
    data = item.get("data")
    if type(data) is list:
        return data
    message = f"{field}.data is {shown(data)}, but must be a list"
    raise Refusal("missing_field" if data is None else "wrong_type", message, field=f"{field}.data")


def _rows(inputs: dict[str, np.ndarray]) -> int:
    names = list(inputs)
    rows = len(inputs[names[0]])
    for name in names:
        if len(inputs[name]) != rows:
            message = f"input {name!r} has {len(inputs[name])} rows, but must have {rows} as {names[0]!r} has"
            raise Refusal("wrong_shape", message, field="inputs")
    return rows
