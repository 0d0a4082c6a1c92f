"""JSON schemas of the bodies that a model takes and gives, made from its signature; examples are its golden rows."""

from math import prod
from typing import Any

from deployments.serving.library import Served
from deployments.serving.named_features import item_shape, keys_of, named
from deployments.serving.tensors import flatten
from tasks.contracts.signature import Datatype, Tensor

Json = dict[str, Any]

_LARGEST_EXAMPLE = 4096
"""Values of a row: a photo as an example would bury the document."""

_TYPES: dict[Datatype, Json] = {
    "FP32": {"type": "number"},
    "INT64": {"type": "integer"},
    "UINT8": {"type": "integer", "minimum": 0, "maximum": 255},
    "BYTES": {"type": "string"},
}


def predict_request(served: Served) -> Json:
    """Rows of named features."""
    return object_of({"inputs": list_of(_row(served))})


def _row(served: Served) -> Json:
    features: Json = {}
    for tensor in served.manifest.signature.inputs:
        for index, key in enumerate(keys_of(tensor)):
            nullable = index < len(tensor.nullable) and tensor.nullable[index]
            features[key] = _value(tensor, item_shape(tensor), nullable)
    return object_of(features)


def invoke_request(served: Served) -> Json:
    """One of the forms of MLflow's scoring server."""
    columns = {"type": "array", "items": {"type": ["string", "integer"]}}
    split = {
        "type": "object",
        "required": ["data"],
        "properties": {"columns": columns, "index": {"type": "array"}, "data": list_of({"type": "array"})},
    }
    loose = {"description": "Rows; or one list for each column or tensor; or the one tensor"}
    forms: Json = {
        "dataframe_split": split,
        "dataframe_records": list_of(_row(served)),
        "instances": loose,
        "inputs": loose,
    }
    return {
        "type": "object",
        "properties": {**forms, "params": {"description": "Passed over"}},
        "additionalProperties": False,
        "oneOf": [{"required": [name]} for name in forms],
    }


def invoke_answer(served: Served) -> Json:
    """One record a row."""
    outputs = served.manifest.signature.outputs
    return object_of(
        {"predictions": list_of(object_of({each.name: _value(each, each.shape[1:], False) for each in outputs}))}
    )


def _value(tensor: Tensor, shape: tuple[int, ...], nullable: bool) -> Json:
    schema: Json = dict(_TYPES[tensor.datatype])
    if nullable and not shape:
        schema["type"] = [schema["type"], "null"]
    for size in reversed(shape):
        schema = {"type": "array", "items": schema, "minItems": size, "maxItems": size}
    return schema


def predict_answer(served: Served) -> Json:
    """One answer a row."""
    labels = list(served.manifest.signature.labels)
    answer = object_of({"value": {"type": "number"}})
    if labels:
        probabilities = object_of({str(label): {"type": "number"} for label in labels})
        answer = object_of({"label": {"enum": labels}, "probabilities": probabilities})
    return object_of({"model": {"const": served.model}, "version": {"type": "string"}, "outputs": list_of(answer)})


def infer_request(served: Served) -> Json:
    """Tensors, and what is wanted of the answer."""
    inputs = served.manifest.signature.inputs
    tensor = _tensor([each.name for each in inputs], sorted({each.datatype for each in inputs}))
    tensor["required"] = ["name", "shape", "datatype"]
    flag = {"type": "object", "properties": {"binary_data": {"type": "boolean"}}}
    names = {"enum": _output_names(served)}
    wanted = {"type": "object", "required": ["name"], "properties": {"name": names, "parameters": flag}}
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object", "properties": {"binary_data_output": {"type": "boolean"}}},
            "inputs": list_of(tensor) | {"minItems": len(inputs), "maxItems": len(inputs)},
            "outputs": {"type": "array", "items": wanted},
        },
    }


def infer_answer(served: Served) -> Json:
    """Tensors."""
    outputs = served.manifest.signature.outputs
    tensor = _tensor(_output_names(served), sorted({each.datatype for each in outputs}))
    required = {"model_name": {"const": served.model}, "model_version": {"type": "string"}, "outputs": list_of(tensor)}
    answer = object_of(required)
    answer["properties"]["id"] = {"type": "string"}
    return answer


def _output_names(served: Served) -> list[str]:
    return [tensor.name for tensor in served.manifest.signature.outputs]


def _tensor(names: list[str], datatypes: list[str]) -> Json:
    return {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"enum": names},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "datatype": {"enum": datatypes},
            "data": {"type": "array", "description": "Flat, or nested as shape says"},
            "parameters": {"type": "object", "properties": {"binary_data_size": {"type": "integer", "minimum": 0}}},
        },
    }


def object_of(properties: Json) -> Json:
    """An object that has these properties, all of them, and no other."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


def list_of(items: Json) -> Json:
    """A list that is not empty."""
    return {"type": "array", "minItems": 1, "items": items}


def _golden_row(served: Served) -> dict[str, Any] | None:
    inputs = served.manifest.signature.inputs
    if sum(prod(tensor.shape[1:]) for tensor in inputs) > _LARGEST_EXAMPLE:
        return None
    return {tensor.name: served.manifest.golden.inputs[tensor.name][0] for tensor in inputs}


def predict_example(served: Served) -> Json | None:
    """A golden row by its names; nothing if it is too long to show."""
    row = _golden_row(served)
    if row is None:
        return None
    return {"inputs": [named(served.manifest.signature.inputs, row)]}


def infer_example(served: Served) -> Json | None:
    """A golden row as tensors; nothing if it is too long to show."""
    row = _golden_row(served)
    if row is None:
        return None
    tensors = []
    for tensor in served.manifest.signature.inputs:
        shape = (1, *tensor.shape[1:])
        data = flatten([row[tensor.name]], shape, "golden")
        tensors.append({"name": tensor.name, "shape": list(shape), "datatype": tensor.datatype, "data": data})
    return {"inputs": tensors}
