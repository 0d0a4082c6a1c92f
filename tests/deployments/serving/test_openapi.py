import copy

import jsonschema
import orjson
import pytest

from deployments.serving.app import App
from deployments.serving.library import Library
from deployments.serving.openapi import document
from deployments.serving.watcher import Watcher


@pytest.mark.parametrize("name", ["mixed", "image", "text"])
def test_the_document_is_what_it_was(library, snapshot, name):
    made = document([library.find(name)], "1.2.3")
    snapshot(f"openapi_{name}.json", orjson.dumps(made, option=orjson.OPT_INDENT_2).decode() + "\n")


def operations(made):
    return [(path, method, operation) for path, kinds in made["paths"].items() for method, operation in kinds.items()]


def content_of(operation):
    return operation["requestBody"]["content"]["application/json"]


def test_every_example_fits_its_schema_and_is_answered_as_the_schema_says(ask):
    made = ask("GET", "/openapi.json").body
    posts = [(path, operation) for path, method, operation in operations(made) if method == "post"]
    assert len(posts) == 17
    for template, operation in posts:
        path = template.replace("{version}", "1")
        if path == "/v2/repository/index":
            continue
        content = content_of(operation)
        jsonschema.validate(content["example"], content["schema"])
        reply = ask("POST", path, content["example"])
        assert reply.status == 200
        answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(reply.body, answer)


def test_every_path_without_a_body_answers(ask):
    made = ask("GET", "/openapi.json").body
    paths = [path for path, method, _ in operations(made) if method == "get"]
    assert {"/v2", "/v2/health/live", "/v2/models/mixed", "/v2/models/text/ready"} <= set(paths)
    assert {ask("GET", path.replace("{version}", "1")).status for path in paths} == {200}


def test_the_schema_refuses_what_the_server_refuses(ask):
    content = content_of(ask("GET", "/openapi.json").body["paths"]["/predict/mixed"]["post"])
    for key, value in [("age", "41"), ("city", 1), ("height", None), ("other", 1)]:
        body = copy.deepcopy(content["example"])
        body["inputs"][0][key] = value
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(body, content["schema"])
        assert ask("POST", "/predict/mixed", body).status == 400


def test_of_one_model_the_invocations_need_no_name(library):
    assert "/invocations" in document([library.find("mixed")], "1")["paths"]
    assert "/invocations" not in document([library.find("mixed"), library.find("text")], "1")["paths"]


def test_operation_ids_are_unique_and_errors_are_described(ask):
    made = ask("GET", "/openapi.json").body
    names = [operation["operationId"] for _, _, operation in operations(made)]
    assert len(set(names)) == len(names)
    error = ask("POST", "/predict/mixed", b"").body
    jsonschema.validate(error, made["components"]["schemas"]["Error"])


def test_a_server_without_models_has_a_document_too(tiny):
    made = tiny.call(App(Library()), "GET", "/openapi.json").body
    assert {"/v2", "/v2/health/live", "/v2/health/ready", "/v2/repository/index", "/ping"} <= set(made["paths"])
    assert not [path for path in made["paths"] if "infer" in path or "invocations" in path]


def test_the_document_follows_the_champion(tiny, store):
    library = Library()
    watcher = Watcher(store, library)
    tiny.publish(store, "model", "1", tiny.numbers())
    watcher.look()
    app = App(library)
    assert "a" in str(tiny.call(app, "GET", "/openapi.json").body["paths"]["/predict/model"]["post"]["requestBody"])
    tiny.publish(store, "model", "2", tiny.image())
    watcher.look()
    assert "image" in str(tiny.call(app, "GET", "/openapi.json").body["paths"]["/predict/model"]["post"]["requestBody"])
