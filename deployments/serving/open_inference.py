"""The Open Inference Protocol V2 dialect: tensors in, tensors out, and what a model is made of.

Source: https://github.com/kserve/open-inference-protocol, `specification/protocol/inference_rest.md`. Each tensor is
JSON, or bytes after the JSON (`binary_tensors`), as the client likes; so is each output.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from deployments.serving.binary_tensors import HEADER, NO_TAIL, SIZE, Tail, from_bytes, raw, split, to_bytes
from deployments.serving.json_body import parse_object
from deployments.serving.library import Served, Shelf
from deployments.serving.plain_numbers import read_plain_numbers
from deployments.serving.question import Arrays, Question, finite
from deployments.serving.refusal import Refusal, clipped, shown
from deployments.serving.reply import Reply, json_reply
from deployments.serving.tensors import flatten, is_nested, place_at, to_array
from tasks.contracts.errors import unknown_name
from tasks.contracts.signature import Signature, Tensor

PLATFORM = "onnx_onnxv1"
_BINARY = b"application/octet-stream"
_NOT_SPOKEN = {
    "classification": "ask for the outputs label and probabilities, which say as much",
    "shared_memory_region": "send the tensor as JSON or as binary data",
}


def metadata(shelf: Shelf, served: Served) -> dict[str, Any]:
    """What a version takes and gives, and which others are at hand."""
    signature = served.manifest.signature
    return {
        "name": served.model,
        "versions": [each.version for each in shelf.loaded],
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


def listing(shelves: Sequence[tuple[str, Shelf]]) -> list[dict[str, str]]:
    """Every version at hand, as Triton's model repository extension lists them."""
    entries = []
    for name, shelf in shelves:
        entries += [{"name": name, "version": each.version, "state": "READY", "reason": ""} for each in shelf.loaded]
        if not shelf.loaded:
            entries.append({"name": name, "version": "", "state": "UNAVAILABLE", "reason": shelf.last_refusal})
    return entries


def read_tensors(served: Served, body: bytes, header_length: bytes | None = None) -> Question:
    """Reads an inference request.

    Args:
        served: The version that is asked.
        body: JSON, or JSON and binary data.
        header_length: What the `Inference-Header-Content-Length` header says, if it was sent; with 0 the body is the
            one input of the model.

    Raises:
        Refusal: If a tensor is missing, unknown, named twice, or not of its datatype and shape.
    """
    signature = served.manifest.signature
    if header_length is None:
        plain = read_plain_numbers(signature, body)
        if plain is not None:
            inputs, name = plain
            return Question(inputs, _rows(inputs), _Answer(served, signature.outputs, frozenset(), name).word)
        head, tail = body, NO_TAIL
    else:
        head, rest = split(body, header_length)
        if not head:
            return _read_raw(served, rest)
        tail = Tail(rest)
    envelope = parse_object(head)
    _check_envelope(envelope)
    wanted = _wanted(envelope.get("outputs"), signature)
    inputs = _inputs(envelope.get("inputs"), signature, tail)
    tail.end()
    binary = _binary(envelope, wanted)
    answer = _Answer(served, wanted, binary, envelope.get("id"))
    return Question(inputs, _rows(inputs), answer.word)


def _read_raw(served: Served, content: memoryview) -> Question:
    signature = served.manifest.signature
    if len(signature.inputs) != 1:
        known = ", ".join(tensor.name for tensor in signature.inputs)
        message = f"the request is binary alone, but must name its inputs in JSON: this model takes {known}"
        raise Refusal("missing_input", message, field="inputs")
    tensor = signature.inputs[0]
    inputs = {tensor.name: raw(tensor, content)}
    answer = _Answer(served, signature.outputs, frozenset(each.name for each in signature.outputs), None)
    return Question(inputs, _rows(inputs), answer.word)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What was asked for, and how."""

    served: Served
    wanted: tuple[Tensor, ...]
    binary: frozenset[str]
    id: str | None

    def word(self, outputs: Arrays) -> Reply:
        answer: dict[str, Any] = {"model_name": self.served.model, "model_version": self.served.version}
        if self.id is not None:
            answer["id"] = self.id
        finite(outputs)
        tail: list[bytes] = []
        answer["outputs"] = [self._answered(tensor, outputs[tensor.name], tail) for tensor in self.wanted]
        reply = json_reply(answer)
        if not self.binary:
            return reply
        length = str(len(reply.body)).encode()
        return Reply(b"".join((reply.body, *tail)), media_type=_BINARY, headers=((HEADER, length),))

    def _answered(self, tensor: Tensor, array: np.ndarray, tail: list[bytes]) -> dict[str, Any]:
        told: dict[str, Any] = {"name": tensor.name, "shape": list(array.shape), "datatype": tensor.datatype}
        if tensor.name in self.binary:
            tail.append(to_bytes(tensor, array))
            return told | {"parameters": {SIZE: len(tail[-1])}}
        flat = array.reshape(-1)
        told["data"] = flat.tolist() if tensor.datatype == "BYTES" else np.ascontiguousarray(flat)
        return told


def _binary(envelope: dict[str, Any], wanted: Sequence[Tensor]) -> frozenset[str]:
    """The names of the outputs that are asked for as bytes: what an output says wins over what the request says."""
    if not envelope.get("parameters") and not envelope.get("outputs"):
        return frozenset()
    default = _flag(envelope.get("parameters"), "binary_data_output", "parameters", False)
    chosen = {tensor.name: default for tensor in wanted}
    for index, item in enumerate(envelope.get("outputs") or ()):
        chosen[item["name"]] = _flag(item.get("parameters"), "binary_data", f"outputs[{index}].parameters", default)
    return frozenset(name for name, binary in chosen.items() if binary)


def _flag(parameters: dict[str, Any] | None, name: str, place: str, default: bool) -> bool:
    value = default if parameters is None else parameters.get(name, default)
    if type(value) is not bool:
        message = f"{place}.{name} is {shown(value)}, but must be true or false"
        raise Refusal("wrong_type", message, field=f"{place}.{name}")
    return value


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
        if item.get("parameters") is not None:
            _check_parameters(item["parameters"], f"{field}[{index}].parameters")
    return value


def _check_parameters(parameters: Any, place: str) -> None:
    if type(parameters) is not dict:
        raise Refusal("wrong_type", f"{place} is {shown(parameters)}, but must be an object", field=place)
    for name, instead in _NOT_SPOKEN.items():
        if name in parameters:
            message = f"{place}.{name} is not spoken here, but must be left out: {instead}"
            raise Refusal("unsupported_parameter", message, field=f"{place}.{name}")


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


def _inputs(value: Any, signature: Signature, tail: Tail) -> dict[str, np.ndarray]:
    items = _objects(value, "inputs")
    places = _by_name(items, {tensor.name: tensor for tensor in signature.inputs}, "inputs")
    for tensor in signature.inputs:
        if tensor.name not in places:
            names = ", ".join(each.name for each in signature.inputs)
            message = f"input {tensor.name!r} is missing, but this model takes {names}: send them all"
            raise Refusal("missing_input", message, field="inputs")
    # In the client's order, which is that of the binary data.
    known = {tensor.name: tensor for tensor in signature.inputs}
    return {item["name"]: _array(known[item["name"]], item, index, tail) for index, item in enumerate(items)}


def _array(tensor: Tensor, item: dict[str, Any], index: int, tail: Tail) -> np.ndarray:
    field = f"inputs[{index}]"
    _check_datatype(tensor, item.get("datatype"), f"{field}.datatype")
    shape = _shape(tensor, item.get("shape"), f"{field}.shape")
    parameters = item.get("parameters")
    if parameters is not None and SIZE in parameters:
        return _from_tail(tensor, item, shape, field, tail)
    data, field = _data(item, field), f"{field}.data"
    values = flatten(data, shape, field)
    written = shape if is_nested(data) else (prod(shape),)
    return to_array(tensor, values, lambda place: place_at(field, place, written)).reshape(shape)


def _from_tail(tensor: Tensor, item: dict[str, Any], shape: tuple[int, ...], field: str, tail: Tail) -> np.ndarray:
    if item.get("data") is not None:
        message = f"{field} has data and {SIZE}, but must have one of them: leave out the data"
        raise Refusal("duplicate_data", message, field=f"{field}.data")
    content = tail.take(item["parameters"][SIZE], f"{field}.parameters.{SIZE}")
    return from_bytes(tensor, content, shape, field)


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
