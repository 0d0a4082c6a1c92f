"""The OpenAPI 3.1 document, made from the signatures that are served; examples are rows of the golden batch."""

from collections.abc import Sequence
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
_ANY_OBJECT: Json = {"type": "object"}
_ERROR: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "field", "message", "request_id"],
            "properties": {
                "code": {"type": "string", "description": "A word to branch on"},
                "field": {"type": "string", "description": "Where in the body, or empty"},
                "message": {"type": "string", "description": "What is wrong, what must be, and what to do next"},
                "request_id": {"type": "string", "description": "As in the X-Request-Id header"},
            },
        }
    },
}
_ERROR_CONTENT: Json = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_COMPONENTS: Json = {
    "schemas": {"Error": _ERROR},
    "responses": {
        "Refused": {"description": "The request is wrong", "content": _ERROR_CONTENT},
        "Failed": {"description": "The server is at fault, or not ready yet", "content": _ERROR_CONTENT},
    },
}
_PLAIN = (
    ("/v2", "What this server is", "server"),
    ("/v2/health/live", "Whether the process runs", "live"),
    ("/v2/health/ready", "Whether every followed model answers; 503 until then", "ready"),
)


def document(champions: Sequence[Served], version: str) -> Json:
    """The document for what is served now.

    Args:
        champions: One version a model.
        version: Of this software.
    """
    paths: Json = {}
    for served in champions:
        paths |= _model_paths(served)
    for path, summary, name in _PLAIN:
        paths[path] = {
            "get": {"operationId": name, "tags": ["server"], "summary": summary, "responses": _answers(_ANY_OBJECT)}
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ingot serving",
            "version": version,
            "description": "Named features at /predict, Open Inference Protocol V2 at /v2. All bodies are JSON.",
        },
        "paths": paths,
        "components": _COMPONENTS,
    }


def _model_paths(served: Served) -> Json:
    model = served.model
    base = f"/v2/models/{model}"
    return {
        f"/predict/{model}": {
            "post": _operation(
                served, "predict", "Named features in, answers out", _predict_request(served), _predict_answer(served)
            )
        },
        f"{base}/infer": {
            "post": _operation(
                served, "infer", "Tensors in, tensors out", _infer_request(served), _infer_answer(served)
            )
        },
        base: {"get": _read(served, "metadata", "Tensors, versions and candidate")},
        f"{base}/ready": {"get": _read(served, "ready", "Whether it answers")},
    }


def _operation(served: Served, verb: str, summary: str, schema: Json, answer: Json) -> Json:
    content: Json = {"schema": schema}
    example = _EXAMPLES[verb](served)
    if example is not None:
        content["example"] = example
    return {
        **_read(served, verb, summary),
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": _answers(answer),
    }


def _read(served: Served, verb: str, summary: str) -> Json:
    return {
        "operationId": f"{verb}_{served.model}",
        "tags": [served.model],
        "summary": summary,
        "responses": _answers(_ANY_OBJECT),
    }


def _answers(schema: Json) -> Json:
    return {
        "200": {"description": "The answer", "content": {"application/json": {"schema": schema}}},
        "4XX": {"$ref": "#/components/responses/Refused"},
        "5XX": {"$ref": "#/components/responses/Failed"},
    }


def _predict_request(served: Served) -> Json:
    features: Json = {}
    for tensor in served.manifest.signature.inputs:
        for index, key in enumerate(keys_of(tensor)):
            nullable = index < len(tensor.nullable) and tensor.nullable[index]
            features[key] = _value(tensor, item_shape(tensor), nullable)
    return _object({"inputs": _list(_object(features))})


def _value(tensor: Tensor, shape: tuple[int, ...], nullable: bool) -> Json:
    schema: Json = dict(_TYPES[tensor.datatype])
    if nullable and not shape:
        schema["type"] = [schema["type"], "null"]
    for size in reversed(shape):
        schema = {"type": "array", "items": schema, "minItems": size, "maxItems": size}
    return schema


def _predict_answer(served: Served) -> Json:
    labels = list(served.manifest.signature.labels)
    answer = _object({"value": {"type": "number"}})
    if labels:
        probabilities = _object({str(label): {"type": "number"} for label in labels})
        answer = _object({"label": {"enum": labels}, "probabilities": probabilities})
    return _object({"model": {"const": served.model}, "version": {"type": "string"}, "outputs": _list(answer)})


def _infer_request(served: Served) -> Json:
    inputs = served.manifest.signature.inputs
    tensor = _tensor([each.name for each in inputs], sorted({each.datatype for each in inputs}))
    wanted = {"type": "object", "required": ["name"], "properties": {"name": {"enum": _output_names(served)}}}
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "inputs": _list(tensor) | {"minItems": len(inputs), "maxItems": len(inputs)},
            "outputs": {"type": "array", "items": wanted},
        },
    }


def _infer_answer(served: Served) -> Json:
    outputs = served.manifest.signature.outputs
    tensor = _tensor(_output_names(served), sorted({each.datatype for each in outputs}))
    required = {"model_name": {"const": served.model}, "model_version": {"type": "string"}, "outputs": _list(tensor)}
    answer = _object(required)
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
        },
    }


def _object(properties: Json) -> Json:
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


def _list(items: Json) -> Json:
    return {"type": "array", "minItems": 1, "items": items}


def _golden_row(served: Served) -> dict[str, Any] | None:
    inputs = served.manifest.signature.inputs
    if sum(prod(tensor.shape[1:]) for tensor in inputs) > _LARGEST_EXAMPLE:
        return None
    return {tensor.name: served.manifest.golden.inputs[tensor.name][0] for tensor in inputs}


def _predict_example(served: Served) -> Json | None:
    row = _golden_row(served)
    if row is None:
        return None
    return {"inputs": [named(served.manifest.signature.inputs, row)]}


def _infer_example(served: Served) -> Json | None:
    row = _golden_row(served)
    if row is None:
        return None
    tensors = []
    for tensor in served.manifest.signature.inputs:
        shape = (1, *tensor.shape[1:])
        data = flatten([row[tensor.name]], shape, "golden")
        tensors.append({"name": tensor.name, "shape": list(shape), "datatype": tensor.datatype, "data": data})
    return {"inputs": tensors}


_EXAMPLES = {"predict": _predict_example, "infer": _infer_example}
