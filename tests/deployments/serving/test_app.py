import gzip
import json
import re
import zlib

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deployments.serving.app import App
from deployments.serving.library import Library
from deployments.serving.watcher import Watcher

ROW = {"age": 41, "city": "Oslo", "height": 1.8}
PREDICT = "/predict/mixed"


def error_of(reply):
    assert set(reply.body) == {"error"}
    assert set(reply.body["error"]) == {"code", "field", "message", "request_id"}
    assert reply.body["error"]["request_id"] == reply.headers["x-request-id"]
    assert "Traceback" not in reply.body["error"]["message"]
    assert "\n" not in reply.body["error"]["message"]
    return reply.status, reply.body["error"]["code"]


def test_health_and_server_metadata(ask):
    assert ask("GET", "/v2").body == {"name": "ingot", "version": "1.2.3", "extensions": ["binary_tensor_data"]}
    assert ask("GET", "/v2/health/live").body == {"live": True}
    assert ask("GET", "/v2/health/ready").body == {"ready": True, "models": ["image", "mixed", "numbers", "text"]}
    reply = ask("GET", "/v2/models/text/ready")
    assert reply.body == {"name": "text", "version": "1", "ready": True}


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "words"),
    [
        ("GET", "/v2/models/mixd", 404, "unknown_model", "did you mean 'mixed'? known: image, mixed, numbers, text"),
        ("GET", "/v2/models/mixd/ready", 404, "unknown_model", "known: image"),
        ("POST", "/v2/models/mixd/infer", 404, "unknown_model", "known: image"),
        ("POST", "/predict/" + "m" * 5000, 404, "unknown_model", "mmm..."),
        ("POST", "/predict/..", 404, "unknown_model", "'..' does not exist"),
        ("GET", "/v2/models/mixed/versions/7", 404, "unknown_version", "version '7' does not exist: known: 1"),
        ("POST", "/v2/models/mixed/versions/7/infer", 404, "unknown_version", "known: 1"),
        ("GET", "/nowhere", 404, "unknown_path", "see /docs"),
        ("GET", PREDICT, 405, "method_not_allowed", "must be POST"),
        ("DELETE", "/v2/models/mixed", 405, "method_not_allowed", "must be GET"),
    ],
)
def test_what_does_not_exist_is_4xx_and_says_what_does(ask, *, method, path, status, code, words):
    reply = ask(method, path, {"inputs": [ROW]})
    assert error_of(reply) == (status, code)
    assert words in reply.body["error"]["message"]
    assert len(reply.body["error"]["message"]) < 400


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "it is empty"),
        (b"inputs", "the body is not JSON"),
        (b'{"inputs": [', "the body is not JSON"),
        (b'{"inputs": [{"age": NaN}]}', "NaN and Infinity are not numbers in JSON: send null"),
        (b'{"inputs": [{"age": Infinity}]}', "NaN and Infinity are not numbers in JSON"),
        (b'{"inputs": [{"age": -Infinity}]}', "NaN and Infinity are not numbers in JSON"),
        (b'{"inputs": [{"age": 1e999}]}', "infinity when parsed"),
        (b'{"inputs": [{"city": "\xff"}]}', "UTF-8"),
        (b'{"inputs": [{"city": "\\ud800"}]}', "surrogate"),
        (b"[" * 100_000, "the body is not JSON"),
        (b'{"inputs":' + b"[" * 2000 + b"]" * 2000 + b"}", "the body is not JSON"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_not_json_is_400_and_says_why(ask, body, words):
    reply = ask("POST", PREDICT, body)
    assert error_of(reply) == (400, "not_json")
    assert words in reply.body["error"]["message"]


@pytest.mark.parametrize("body", [b"null", b"[]", b"5", b'"inputs"', b"true"])
def test_json_that_is_no_object_is_400(ask, body):
    assert error_of(ask("POST", PREDICT, body)) == (400, "wrong_type")


def test_a_declared_length_beyond_the_limit_is_413_before_a_byte_is_read(ask):
    reply = ask("POST", PREDICT, b"{}", headers=[(b"content-length", b"1000001")])
    assert error_of(reply) == (413, "body_too_large")
    assert len(reply.left) == 1
    assert "1000000 bytes" in reply.body["error"]["message"]


def test_a_body_that_grows_beyond_the_limit_is_413_and_not_read_to_its_end(ask):
    reply = ask("POST", PREDICT, chunks=[b" " * 400_000] * 5)
    assert error_of(reply) == (413, "body_too_large")
    assert len(reply.left) == 3


def test_a_body_in_many_pieces_is_put_together(ask):
    body = json.dumps({"inputs": [ROW]}).encode()
    reply = ask("POST", PREDICT, chunks=[body[:7], b"", body[7:30], body[30:]])
    assert reply.status == 200


def packed(encoding, body):
    if encoding == "raw":
        packer = zlib.compressobj(wbits=-15)
        return packer.compress(body) + packer.flush()
    return gzip.compress(body) if encoding.endswith("gzip") else zlib.compress(body)


@pytest.mark.parametrize(
    ("encoding", "said"), [("gzip", "gzip"), ("x-gzip", "X-GZIP"), ("deflate", "deflate"), ("raw", "deflate")]
)
def test_a_compressed_body_is_unpacked_whatever_its_pieces(ask, encoding, said):
    body = packed(encoding, json.dumps({"inputs": [ROW] * 50}).encode())
    plain = ask("POST", PREDICT, {"inputs": [ROW] * 50})
    for size in (1, 7, len(body)):
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        reply = ask("POST", PREDICT, chunks=pieces, headers=[(b"content-encoding", said.encode())])
        assert (reply.status, reply.body) == (200, plain.body)


@pytest.mark.parametrize(
    ("encoding", "body", "status", "code"),
    [
        ("br", b"\x0b", 415, "unsupported_encoding"),
        ("gzip, gzip", b"\x1f\x8b", 415, "unsupported_encoding"),
        ("gzip", b"{}", 400, "broken_encoding"),
        ("gzip", b"", 400, "broken_encoding"),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-3], 400, "broken_encoding"),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"more", 400, "broken_encoding"),
        ("gzip", gzip.compress(b"{}", mtime=0) * 2, 400, "broken_encoding"),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-8] + b"\0" * 8, 400, "broken_encoding"),
        ("deflate", b"\xff\xff\xff", 400, "broken_encoding"),
        ("gzip", gzip.compress(b" " * 1_000_001, mtime=0), 413, "body_too_large"),
        ("deflate", zlib.compress(b" " * 500_000_000, 9), 413, "body_too_large"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_body_that_is_not_packed_as_it_says_or_is_a_bomb_is_4xx(ask, *, encoding, body, status, code):
    reply = ask("POST", PREDICT, body, headers=[(b"content-encoding", encoding.encode())])
    assert error_of(reply) == (status, code)


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "text/plain", "a", "x/y+json", ""]
)
def test_what_may_be_json_is_read_as_json(ask, kind):
    assert ask("POST", PREDICT, {"inputs": [ROW]}, headers=[(b"content-type", kind.encode())]).status == 200


@pytest.mark.parametrize("kind", ["text/csv", "multipart/form-data; boundary=a", "image/png", "application/xml"])
def test_what_is_clearly_no_json_is_415(ask, kind):
    reply = ask("POST", PREDICT, {"inputs": [ROW]}, headers=[(b"content-type", kind.encode())])
    assert error_of(reply) == (415, "unsupported_media_type")
    assert "must be application/json" in reply.body["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": [], "inputs": []}',
        b'{"inputs": [{"age": 1, "age": 2}]}',
        b'{"inputs": [{"age": 1, "\\u0061ge": 2, "city": "a:b"}]}',
        b'{"inputs": [{"age": {"a": 1, "a": 2}}]}',
        b'{"inputs": [1, {"a": [[{"x:y": 1, "x:y": 2}]]}]}',
        b'{"inputs": [{"a:": 1, "a\\u003a": 2}]}',
        b'{"inputs": [{"city": "a\\u003A\\u003a\\u003a", "b": 1, "b": 2}]}',
    ],
)
def test_a_key_that_stands_twice_is_400(ask, body):
    assert error_of(ask("POST", PREDICT, body)) == (400, "duplicate_key")


def test_colons_in_strings_are_no_keys(ask):
    for city in ("a:b", "::", r"\u003a", r"\u003A:", r"\":", r"{\"a\":1}"):
        body = b'{"inputs": [{"age": 1, "city": "%s", "height": 2}]}' % city.encode()
        assert ask("POST", PREDICT, body).status == 200


@pytest.mark.parametrize(
    ("accepted", "encoding", "unpack"),
    [("gzip, deflate, br", "gzip", gzip.decompress), ("gzip;q=0, deflate", "deflate", zlib.decompress)],
)
def test_a_long_answer_is_packed_as_the_client_accepts_it(ask, accepted, encoding, unpack):
    body = {"inputs": [ROW] * 2000}
    reply = ask("POST", PREDICT, body, headers=[(b"accept-encoding", accepted.encode())], unpack=unpack)
    assert reply.body == ask("POST", PREDICT, body).body
    assert (reply.headers["content-encoding"], reply.headers["vary"]) == (encoding, "accept-encoding")
    assert int(reply.headers["content-length"]) < 20_000


@pytest.mark.parametrize("accepted", ["", "br", "gzip;q=0", "gzip; q=0.000", "identity"])
def test_an_answer_is_not_packed_for_who_cannot_unpack_it(ask, accepted):
    headers = [(b"accept-encoding", accepted.encode())]
    assert "content-encoding" not in ask("POST", PREDICT, {"inputs": [ROW] * 50}, headers=headers).headers


def test_a_short_answer_is_left_as_it_is(ask):
    reply = ask("POST", PREDICT, {"inputs": [ROW]}, headers=[(b"accept-encoding", b"gzip")])
    assert "content-encoding" not in reply.headers


def test_the_models_at_hand_are_listed_as_triton_lists_them(ask):
    listed = ask("POST", "/v2/repository/index").body
    assert listed == ask("GET", "/v2/models").body
    assert {"name": "text", "version": "1", "state": "READY", "reason": ""} in listed


def test_an_escaped_slash_is_no_separator(tiny, app):
    path = "/v2/models/mixed%2Fready"
    reply = tiny.call(app, "GET", "/v2/models/mixed/ready", raw_path=path.encode())
    assert error_of(reply) == (404, "unknown_model")


@pytest.mark.parametrize("name", ["abc-123", "A_b.c", "x" * 64])
def test_a_sane_request_id_is_kept(ask, name):
    assert ask("GET", "/v2", headers=[(b"x-request-id", name.encode())]).headers["x-request-id"] == name


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "<script>", "\r\nset-cookie: a"])
def test_any_other_request_id_is_replaced(ask, name):
    made = ask("GET", "/v2", headers=[(b"x-request-id", name.encode())]).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", made)


def test_a_long_body_is_answered_as_a_short_one_is(ask):
    reply = ask("POST", PREDICT, {"inputs": [ROW] * 2000})
    assert reply.status == 200
    assert len(reply.body["outputs"]) == 2000
    assert reply.body["outputs"][0] == ask("POST", PREDICT, {"inputs": [ROW]}).body["outputs"][0]


def test_a_followed_model_without_a_champion_is_503_and_asks_to_come_again(tiny):
    app = App(Library(["digits"]))
    for method, path in [("GET", "/v2/models/digits"), ("GET", "/v2/models/digits/ready"), ("POST", "/predict/digits")]:
        reply = tiny.call(app, method, path, {"inputs": []})
        assert error_of(reply) == (503, "not_ready")
        assert reply.headers["retry-after"] == "1"
    reply = tiny.call(app, "GET", "/v2/health/ready")
    assert error_of(reply) == (503, "not_ready")
    assert "it waits for digits" in reply.body["error"]["message"]
    assert tiny.call(app, "GET", "/v2/health/live").status == 200


def test_earlier_versions_answer_by_their_number(tiny, store):
    library = Library()
    watcher = Watcher(store, library)
    for version in (1, 2, 3, 4):
        tiny.publish(store, "numbers", str(version), tiny.numbers(float(version)))
        watcher.look()
    app = App(library)
    tensor = {"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [1, 0]}
    for version, value in [("4", 4.0), ("3", 3.0), ("2", 2.0)]:
        reply = tiny.call(app, "POST", f"/v2/models/numbers/versions/{version}/infer", {"inputs": [tensor]})
        assert reply.body["outputs"][0]["data"] == [value]
        assert reply.body["model_version"] == version
    assert tiny.call(app, "POST", "/v2/models/numbers/infer", {"inputs": [tensor]}).body["model_version"] == "4"
    assert tiny.call(app, "GET", "/v2/models/numbers/versions/1").status == 404
    assert tiny.call(app, "GET", "/v2/models/numbers/versions/2").body["parameters"]["version"] == "2"


def test_a_fault_of_ours_is_500_and_shows_nothing_of_it(tiny, library):
    class Broken(Library):
        def find(self, model, version=""):
            raise ZeroDivisionError("secret")

    reply = tiny.call(App(Broken()), "POST", PREDICT, {"inputs": [ROW]})
    assert error_of(reply) == (500, "internal")
    assert "secret" not in json.dumps(reply.body)


def test_a_client_that_hangs_up_gets_no_answer(app):
    import asyncio

    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    asyncio.run(app({"type": "http", "method": "POST", "path": PREDICT, "headers": []}, receive, send))
    assert sent == []


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**70), 2**70) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(["features", "age", "city", "height", "image", "text", "value", "label"]) | st.text(max_size=4)
numbers = st.lists(st.integers(0, 255) | st.floats() | st.none(), max_size=7)
tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": names,
        "shape": st.lists(st.integers(-2, 10**13), max_size=4) | anything,
        "datatype": st.sampled_from(["FP32", "BYTES", "UINT8", "INT64", "FP16"]) | anything,
        "data": numbers | st.lists(st.text(max_size=3), max_size=3) | st.lists(numbers, max_size=3) | anything,
    },
)
rows = st.dictionaries(names | st.sampled_from(["a", "b"]), anything | numbers, max_size=4)
bodies = anything | st.fixed_dictionaries(
    {"inputs": st.lists(tensors, max_size=3) | st.lists(rows, max_size=3) | anything},
    optional={"id": anything, "parameters": anything, "outputs": st.lists(tensors, max_size=2) | anything},
)
POSTS = [f"{start}{name}{end}" for start, end in (("/predict/", ""), ("/v2/models/", "/infer"))
         for name in ("mixed", "numbers", "image", "text")]  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=bodies, path=st.sampled_from(POSTS))
@example(body={"inputs": [{"\n": 0, "age": 1}]}, path="/predict/mixed")
def test_no_json_body_gives_5xx(ask, body, path):
    reply = ask("POST", path, json.dumps(body).encode())
    assert reply.status in (200, 400)
    if reply.status == 400:
        error_of(reply)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.binary(max_size=60), path=st.sampled_from(POSTS))
def test_no_bytes_at_all_give_5xx(ask, body, path):
    assert ask("POST", path, body).status == 400


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "X"]),
    path=st.lists(
        st.sampled_from(["v2", "models", "mixed", "versions", "1", "infer", "ready", "predict", "docs", ""])
        | st.text(),
        max_size=7,
    ).map(lambda parts: "/" + "/".join(parts)),
)
def test_no_path_gives_5xx(ask, method, path):
    assert ask(method, path, b"{}").status in (200, 400, 404, 405)
