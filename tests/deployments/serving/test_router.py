import pytest

from deployments.serving.refusal import Refusal
from deployments.serving.router import Router


@pytest.fixture
def router():
    made = Router()
    made.add("GET", "/", "root")
    made.add("GET", "/v2/models/{name}", "metadata")
    made.add("POST", "/v2/models/{name}/infer", "infer")
    made.add("PUT", "/v2/models/{name}/infer", "other")
    made.add("POST", "/v2/models/{name}/versions/{version}/infer", "infer")
    made.add("GET", "/v2/health/live", "live")
    return made


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/", ("root", [])),
        ("HEAD", "/", ("root", [])),
        ("GET", "/v2/health/live", ("live", [])),
        ("GET", "/v2/models/digits", ("metadata", ["digits"])),
        ("POST", "/v2/models/infer/infer", ("infer", ["infer"])),
        ("POST", "/v2/models/digits/versions/3/infer", ("infer", ["digits", "3"])),
    ],
)
def test_finds_the_handler_and_what_stands_in_the_braces(router, method, path, found):
    assert router.find(method, path) == found


@pytest.mark.parametrize(
    "path",
    ["", "//", "/v2", "/v2/", "/v2/models", "/v2/models/", "/v2/models//infer", "/v2/models/digits/", "/{}", "/v3"],
)
def test_refuses_a_path_that_leads_nowhere(router, path):
    with pytest.raises(Refusal, match="does not exist: see /docs") as refused:
        router.find("GET", path)
    assert refused.value.status == 404


def test_refuses_a_method_with_those_that_are_allowed(router):
    with pytest.raises(Refusal, match="method is GET, but must be POST, PUT") as refused:
        router.find("GET", "/v2/models/digits/infer")
    assert refused.value.status == 405
    assert refused.value.headers == ((b"allow", b"POST, PUT"),)
