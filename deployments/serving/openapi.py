"""The OpenAPI 3.1 document, made from the signatures that are served; examples are rows of the golden batch."""

from collections.abc import Sequence

from deployments.serving import schemas
from deployments.serving.library import Served
from deployments.serving.schemas import Json

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
_TEXT: Json = {"type": "string"}
_VERSION: Json = {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}}
_BYTES: Json = {
    "schema": {
        "type": "string",
        "contentMediaType": "application/octet-stream",
        "description": "The JSON, then the bytes of each tensor that has `binary_data_size` among its parameters, in "
        "their order; the header Inference-Header-Content-Length is the length of the JSON",
    }
}
_PLAIN = (
    ("/v2", "What this server is", "server"),
    ("/v2/health/live", "Whether the process runs", "live"),
    ("/v2/health/ready", "Whether every followed model answers; 503 until then", "ready"),
    ("/ping", "The same, as MLflow's client asks", "ping"),
    ("/health", "The same, as MLflow's server has it", "health"),
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
        paths[path] = {"get": _server(name, summary, _answers(_ANY_OBJECT))}
    paths["/v2/models"] = {"get": _index("models")}
    paths["/v2/repository/index"] = {"post": _index("repository_index")}
    paths["/version"] = {"get": _server("version", "The version of this software", _answers(_TEXT, "text/plain"))}
    if len(champions) == 1:
        paths["/invocations"] = {"post": _invocation(champions[0], "invoke_the_only_one_of")}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ingot serving",
            "version": version,
            "description": "Named features at /predict, Open Inference Protocol V2 at /v2, MLflow's at /invocations.",
        },
        "paths": paths,
        "components": _COMPONENTS,
    }


def _server(name: str, summary: str, responses: Json) -> Json:
    return {"operationId": name, "tags": ["server"], "summary": summary, "responses": responses}


def _index(name: str) -> Json:
    entry = schemas.object_of({key: {"type": "string"} for key in ("name", "version", "state", "reason")})
    return _server(name, "The versions at hand", _answers({"type": "array", "items": entry}))


def _model_paths(served: Served) -> Json:
    model = served.model
    paths: Json = {
        f"/predict/{model}": {"post": _prediction(served)},
        f"/invocations/{model}": {"post": _invocation(served, "invoke")},
    }
    base = f"/v2/models/{model}"
    paths |= _version_paths(served, base, "")
    paths |= {
        path: {method: operation | {"parameters": [_VERSION]} for method, operation in operations.items()}
        for path, operations in _version_paths(served, f"{base}/versions/{{version}}", "_version").items()
    }
    return paths


def _version_paths(served: Served, base: str, suffix: str) -> Json:
    return {
        f"{base}/infer": {"post": _inference(served, f"infer{suffix}")},
        base: {"get": _read(served, f"metadata{suffix}", "Tensors, versions and candidate")},
        f"{base}/ready": {"get": _read(served, f"ready{suffix}", "Whether it answers")},
    }


def _prediction(served: Served) -> Json:
    body = _content(schemas.predict_request(served), schemas.predict_example(served))
    return _operation(
        served, "predict", "Named features in, answers out", body, _answers(schemas.predict_answer(served))
    )


def _inference(served: Served, verb: str) -> Json:
    body = _content(schemas.infer_request(served), schemas.infer_example(served)) | {"application/octet-stream": _BYTES}
    answers = _answers(schemas.infer_answer(served))
    answers["200"]["content"]["application/octet-stream"] = _BYTES
    return _operation(served, verb, "Tensors in, tensors out", body, answers)


def _invocation(served: Served, verb: str) -> Json:
    row = schemas.predict_example(served)
    example = None if row is None else {"dataframe_records": row["inputs"]}
    body = _content(schemas.invoke_request(served), example) | {"text/csv": {"schema": _TEXT}}
    return _operation(served, verb, "As MLflow's scoring server", body, _answers(schemas.invoke_answer(served)))


def _content(schema: Json, example: Json | None) -> Json:
    return {"application/json": {"schema": schema} | ({} if example is None else {"example": example})}


def _operation(served: Served, verb: str, summary: str, content: Json, responses: Json) -> Json:
    body = {"requestBody": {"required": True, "content": content}, "responses": responses}
    return _read(served, verb, summary) | body


def _read(served: Served, verb: str, summary: str) -> Json:
    return {
        "operationId": f"{verb}_{served.model}",
        "tags": [served.model],
        "summary": summary,
        "responses": _answers(_ANY_OBJECT),
    }


def _answers(schema: Json, media_type: str = "application/json") -> Json:
    return {
        "200": {"description": "The answer", "content": {media_type: {"schema": schema}}},
        "4XX": {"$ref": "#/components/responses/Refused"},
        "5XX": {"$ref": "#/components/responses/Failed"},
    }
