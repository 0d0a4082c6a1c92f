"""Requests that mean no good, over real sockets to a real server: each gets its 4xx, and the server goes on."""

import gzip
import json
import re
import socket
import struct
import time
import zlib

import pytest

from deployments.serving.protocol import Limits

ROW = {"age": 41, "city": "Oslo", "height": 1.8}
GOOD = json.dumps({"inputs": [ROW]}).encode()


def http1(path, body=b"", method="POST", *fields, length=None):
    head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    head += f"Content-Length: {len(body) if length is None else length}\r\n"
    return (head + "".join(f"{field}\r\n" for field in fields)).encode() + b"\r\n" + body


def predict(body, *fields):
    return http1("/predict/mixed", body if isinstance(body, bytes) else json.dumps(body).encode(), "POST", *fields)


def infer(tensor, *, tail=b"", model="numbers"):
    plain = {"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    body = json.dumps({"inputs": [plain | tensor]}).encode()
    fields = [f"Inference-Header-Content-Length: {len(body)}"] if tail else []
    return http1(f"/v2/models/{model}/infer", body + tail, "POST", *fields)


def row(text):
    return b'{"inputs": [{"age": %s, "city": "Oslo", "height": 1}]}' % text


def chunked(content, *fields):
    head = "POST /predict/mixed HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
    return (head + "".join(f"{field}\r\n" for field in fields)).encode() + b"\r\n" + content


GET = b"GET /v2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
CSV, PARQUET = "Content-Type: text/csv", "Content-Type: application/vnd.apache.parquet"
HOSTILE = {
    # What the body says.
    "a shape of 10^12": (infer({"shape": [10**12, 2]}), 400),
    "a shape of 10^12 beside it": (infer({"shape": [1, 10**12]}), 400),
    "a shape below zero": (infer({"shape": [-1, 2]}), 400),
    "a shape of 10^5000": (predict(b'{"inputs": [], "shape": [1%s]}' % (b"0" * 5000)), 400),
    "ragged data": (infer({"shape": [2, 2], "data": [[1, 2], [3]]}), 400),
    "NaN": (predict(row(b"NaN")), 400),
    "Infinity": (predict(row(b"-Infinity")), 400),
    "a number beyond all": (predict(row(b"1e400")), 400),
    "an integer of 10,000 digits": (predict(row(b"9" * 10_000)), 400),
    "a negative integer of 10,000 digits": (predict(row(b"-" + b"9" * 10_000)), 400),
    "a wrong datatype": (infer({"datatype": "FP64"}), 400),
    "a datatype that is no word": (infer({"datatype": {"a": 1}}), 400),
    "64-deep lists": (predict(b'{"inputs":' + b"[" * 64 + b"]" * 64 + b"}"), 400),
    "64-deep objects": (predict(b'{"inputs":' * 64 + b"1" + b"}" * 64), 400),
    "100,000-deep lists": (predict(b"[" * 100_000), 400),
    "1,000-deep objects with a key twice": (predict(b'{"a":' * 1000 + b'{"a:":1,"a:":2}' + b"}" * 1000), 400),
    "a key twice": (predict(b'{"inputs": [], "inputs": []}'), 400),
    "a feature twice": (predict(b'{"inputs": [{"age": 1, "age": 2, "city": "a", "height": 1}]}'), 400),
    "a key twice by an escape": (predict(b'{"inputs": [{"age": 1, "\\u0061ge": 2}]}'), 400),
    "a lone surrogate": (predict(b'{"inputs": [{"age": 1, "city": "\\ud800", "height": 1}]}'), 400),
    "a key of a lone surrogate": (predict(b'{"\\udc00": 1}'), 400),
    "bytes that are no UTF-8": (predict(b'{"inputs": [{"age": 1, "city": "\xff\xfe"}]}'), 400),
    "UTF-16": (predict(GOOD.decode().encode("utf-16")), 400),
    "nothing": (predict(b""), 400),
    "a NUL": (predict(b"\0"), 400),
    "a list": (predict([]), 400),
    "a pickle": (predict(b"\x80\x04\x95\x00."), 400),
    "XML with an entity": (predict(b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'), 400),
    "a feature called __proto__": (predict({"inputs": [ROW | {"__proto__": 1}]}), 400),
    "a feature of a megabyte": (predict({"inputs": [{"a" * 500_000: 1}]}), 400),
    "a shared memory region": (infer({"parameters": {"shared_memory_region": "a"}}), 400),
    "binary data that is not there": (infer({"parameters": {"binary_data_size": 10**15}}, tail=b"1234"), 400),
    "binary data without its end": (infer({"data": None, "parameters": {"binary_data_size": 8}}, tail=b"1234"), 400),
    "binary data and a shape of 10^12": (
        infer({"data": None, "shape": [10**12, 2], "parameters": {"binary_data_size": 8}}, tail=b"12345678"),
        400,
    ),
    "binary infinity": (
        infer({"data": None, "parameters": {"binary_data_size": 8}}, tail=struct.pack("<ff", 1, float("inf"))),
        400,
    ),
    "a binary string of 4 GB": (
        http1(
            "/v2/models/text/infer",
            (
                said := b'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", '
                b'"parameters": {"binary_data_size": 5}}]}'
            )
            + b"\xff\xff\xff\xffa",
            "POST",
            f"Inference-Header-Content-Length: {len(said)}",
        ),
        400,
    ),
    "a header length beyond the body": (
        http1("/v2/models/text/infer", b"{}", "POST", "Inference-Header-Content-Length: 99999999999999999999999"),
        400,
    ),
    "CSV with a quote that stays open": (http1("/invocations/mixed", b'a\n"', "POST", CSV), 400),
    "a Parquet file": (http1("/invocations/mixed", b"PAR1", "POST", PARQUET), 415),
    "an image": (predict(b"\x89PNG", "Content-Type: image/png"), 415),
    # How the body comes.
    "100 MB that are declared": (http1("/predict/mixed", b"", length=100 * 2**20), 413),
    "10^30 bytes that are declared": (http1("/predict/mixed", b"", length=10**30), 400),
    "100 MB in pieces": (chunked(b"100000\r\n" + b" " * 2**20 + b"\r\n" + b"100000\r\n" + b" " * 2**20 + b"\r\n"), 413),
    "a gzip bomb": (predict(gzip.compress(bytes(50_000_000)), "Content-Encoding: gzip"), 413),
    "a deflate bomb": (predict(zlib.compress(bytes(50_000_000)), "Content-Encoding: deflate"), 413),
    "gzip that is none": (predict(GOOD, "Content-Encoding: gzip"), 400),
    "gzip that is cut off": (predict(gzip.compress(GOOD)[:-9], "Content-Encoding: gzip"), 400),
    "gzip in gzip": (predict(gzip.compress(gzip.compress(GOOD)), "Content-Encoding: gzip, gzip"), 415),
    "an encoding that is not spoken": (predict(GOOD, "Content-Encoding: br"), 415),
    "Content-Length and Transfer-Encoding": (chunked(b"0\r\n\r\n", "Content-Length: 5"), 400),
    "the same the other way round": (http1("/predict/mixed", b"0\r\n\r\n", "POST", "Transfer-Encoding: chunked"), 400),
    "two Content-Lengths": (http1("/predict/mixed", b"{}", "POST", "Content-Length: 3"), 400),
    "two Content-Lengths alike": (http1("/predict/mixed", b"{}", "POST", "Content-Length: 2"), 400),
    "a Content-Length with a sign": (http1("/predict/mixed", b"{}", length="+2"), 400),
    "a Content-Length that is a list": (http1("/predict/mixed", b"{}", length="2, 2"), 400),
    "a Content-Length in hex": (http1("/predict/mixed", b"{}", length="0x2"), 400),
    "an unknown Transfer-Encoding": (http1("/predict/mixed", b"", "POST", "Transfer-Encoding: cow"), 400),
    "chunked, but not last": (chunked(b"0\r\n\r\n", "Transfer-Encoding: gzip"), 400),
    "a chunk of no size": (chunked(b"xyz\r\n{}\r\n0\r\n\r\n"), 400),
    "a chunk below zero": (chunked(b"-2\r\n{}\r\n0\r\n\r\n"), 400),
    "a chunk of 2^64 bytes": (chunked(b"1" + b"0" * 16 + b"\r\n{}"), 400),
    "a chunk longer than it says": (chunked(b"2\r\n{}}}\r\n0\r\n\r\n"), 400),
    "a chunk extension without an end": (chunked(b"2;" + b"a" * 400_000), 431),
    "trailers without an end": (chunked(b"2\r\n{}\r\n0\r\n" + b"a: b\r\n" * 60_000), 431),
    # How the head comes.
    "nonsense": (b"nonsense\r\n\r\n", 400),
    "bytes of TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50), 400),
    "HTTP/0.9": (b"GET /v2\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/9.9": (b"GET /v2 HTTP/9.9\r\n\r\n", 400),
    "a method that is none": (http1("/v2", method="HACK"), 400),
    "a field of 1 MB": (GET + b"A: " + b"a" * 2**20 + b"\r\n\r\n", 431),
    "a field without an end": (GET + b"A: " + b"a" * 400_000, 431),
    "a field of 40 KB": (GET + b"A: " + b"a" * 40_000 + b"\r\n\r\n", 431),
    "a path of 40 KB": (http1("/predict/" + "a" * 40_000), 431),
    "5,000 fields": (GET + b"A: b\r\n" * 5000 + b"\r\n", 431),
    "a field with a NUL": (GET + b"A: \0\r\n\r\n", 400),
    "a field that is folded": (GET + b"A: b\r\n c\r\n\r\n", 400),
    "a field with a space before its colon": (GET + b"A : b\r\n\r\n", 400),
    "lines that end with LF alone": (b"GET /v2 HTTP/1.1\nHost: a\n\n", 400),
    "CONNECT": (http1("example.org:443", method="CONNECT"), 400),
    "a proxy's target": (b"GET http://example.org HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400),
    "OPTIONS *": (http1("*", method="OPTIONS"), 404),
    "TRACE": (http1("/v2", method="TRACE"), 405),
    "OPTIONS": (http1("/predict/mixed", method="OPTIONS"), 405),
    "HEAD of what is only posted": (http1("/predict/mixed", method="HEAD"), 405),
    "DELETE": (http1("/v2/models/mixed", method="DELETE"), 405),
    # What the path says.
    "..": (http1("/predict/../../etc/passwd", GOOD), 404),
    ".. as a name": (http1("/predict/..", GOOD), 404),
    "%2e%2e": (http1("/predict/%2e%2e/%2e%2e/etc/passwd", GOOD), 404),
    "an encoded slash": (http1("/v2/models/mixed%2finfer", GOOD), 405),
    "an encoded slash around ..": (http1("/predict/..%2F..%2Fetc%2Fpasswd", GOOD), 404),
    "an encoded backslash": (http1("/predict/..%5c..%5cmixed", GOOD), 404),
    "an encoded NUL": (http1("/predict/mixed%00", GOOD), 404),
    "an encoded line end": (http1("/predict/mixed%0d%0aSet-Cookie:a", GOOD), 404),
    "escapes that are no UTF-8": (http1("/predict/%ff%fe", GOOD), 404),
    "an overlong slash": (http1("/predict/..%c0%afmixed", GOOD), 404),
    "a double escape": (http1("/predict/%252e%252e", GOOD), 404),
    "a name in Unicode": (http1("/predict/%D1%84%D1%84", GOOD), 404),
    "a look-alike of a name": (http1("/predict/%EF%BD%8Dixed", GOOD), 404),
    "a name in capitals": (http1("/predict/MIXED", GOOD), 404),
    "bytes beyond ASCII": (b"GET /predict/\xff\xfe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400),
    "two slashes": (http1("//predict//mixed", GOOD), 404),
    "a version that is not there": (http1("/v2/models/mixed/versions/-1/infer", GOOD), 404),
    "a name of 20 KB": (http1("/predict/" + "m" * 20_000, GOOD), 404),
}


def dialog(http, *parts, wait=0.0):
    """All that the server says to some bytes until it hangs up; it may do so before it has read them all."""
    with socket.create_connection((http.base_url.host, http.base_url.port), timeout=20) as plug:
        for part in parts:
            plug.sendall(part)
            time.sleep(wait)
        answer = b""
        while piece := plug.recv(65536):
            answer += piece
    return answer


def statuses(answer):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d\d\d) ", answer)]


def error_of(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nx-request-id: " in head
    error = json.loads(body)["error"]
    assert set(error) == {"code", "field", "message", "request_id"}
    assert f"x-request-id: {error['request_id']}\r\n".encode() in head
    assert "Traceback" not in error["message"] and "\n" not in error["message"]
    return error


@pytest.fixture(scope="module")
def healthy(http):
    """Says that the server still answers right."""

    def holds():
        reply = http.post("/predict/mixed", content=GOOD)
        assert (reply.status_code, reply.json()["outputs"][0]["label"]) == (200, "yes")

    return holds


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_gets_its_4xx_and_the_server_goes_on(http, healthy, name):
    request, status = HOSTILE[name]
    answer = dialog(http, request)
    assert statuses(answer) == [status]
    if not request.startswith(b"HEAD"):
        error_of(answer)
    healthy()


def test_there_are_at_least_sixty():
    assert len(HOSTILE) >= 60


KEPT = GOOD[:9], GOOD[9:]
WHOLE = b"POST /predict/mixed HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(GOOD), GOOD)


def test_garbage_behind_good_requests_is_refused_after_they_are_answered(http, healthy):
    answer = dialog(http, WHOLE * 3 + b"garbage\r\n\r\n")
    assert statuses(answer) == [200, 200, 200, 400]
    assert answer.count(b'"label":"yes"') == 3
    healthy()


def test_a_bad_chunk_behind_a_good_request_is_refused_after_it_is_answered(http, healthy):
    bad = b"POST /predict/mixed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"
    assert statuses(dialog(http, WHOLE + bad)) == [200, 400]
    assert statuses(dialog(http, WHOLE, bad, wait=0.1)) == [200, 400]
    healthy()


def test_a_request_that_is_smuggled_behind_two_lengths_is_never_answered(http, healthy):
    inner = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"
    for fields in (
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 0\r\nContent-Length: 4\r\n",
    ):
        answer = dialog(http, b"POST /predict/mixed HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n0\r\n\r\n" + inner)
        assert statuses(answer) == [400]
    healthy()


def test_trailers_do_not_change_a_head(http, healthy):
    body = b"%x\r\n%s\r\n0\r\nX-Request-Id: evil\r\nContent-Encoding: gzip\r\n\r\n" % (len(GOOD), GOOD)
    answer = dialog(http, chunked(body))
    assert statuses(answer) == [200]
    assert b"evil" not in answer


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_who_asks_for_another_protocol_is_answered_in_this_one(http, healthy, protocol):
    """Java's client asks so at every first request, body and all."""
    fields = f"Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAM\r\n"
    asking = WHOLE.replace(b"Host: a\r\n", fields.encode())
    answer = dialog(http, asking + WHOLE + GET + b"\r\n")
    assert statuses(answer) == [200, 200, 200]
    assert answer.count(b'"label":"yes"') == 2
    assert statuses(dialog(http, asking[:-9], asking[-9:] + GET + b"\r\n", wait=0.05)) == [200, 200]
    healthy()


def test_a_body_after_its_refusal_is_read_to_its_end_and_the_connection_goes_on(http):
    long = b"POST /predict/mixed HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n"
    with socket.create_connection((http.base_url.host, http.base_url.port), timeout=20) as plug:
        plug.sendall(long)
        assert statuses(plug.recv(65536)) == [413]
        plug.sendall(b" " * 5_000_000 + WHOLE)
        assert statuses(plug.recv(65536)) == [200]


@pytest.fixture(scope="module")
def hasty(tiny, app):
    """A client of a server that waits for nobody."""
    with tiny.carried(app, Limits(header_seconds=0.3, body_seconds=0.3)) as client:
        yield client


SLOW = b"POST /predict/mixed HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        [b"GET /v2 HT"],
        [b"GET /v2 HTTP/1.1\r\n", *[b"A: b\r\n"] * 20],
        [SLOW],
        [SLOW, *[b" "] * 20],
        [b"POST /predict/mixed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\n \r\n"] * 20],
        [WHOLE[:-1]],
    ],
    ids=["head", "drops of a head", "body", "drops of a body", "drops of chunks", "a last byte"],
)
def test_who_is_too_slow_is_told_so(hasty, parts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            socket.socket, "sendall", lambda plug, data, send=socket.socket.sendall: quietly(send, plug, data)
        )
        answer = dialog(hasty, *parts, wait=0.05)
    assert statuses(answer) == [408]
    assert error_of(answer)["code"] == "too_slow"
    assert hasty.post("/predict/mixed", content=GOOD).status_code == 200


def quietly(send, plug, data):
    """Goes on when the server has hung up already: what it said is still to be read."""
    try:
        send(plug, data)
    except (BrokenPipeError, ConnectionResetError):
        return


def test_who_says_nothing_is_hung_up_on(hasty):
    assert dialog(hasty) == b""


def test_who_was_answered_and_then_is_slow_is_told_so_after_the_answer(hasty):
    assert statuses(dialog(hasty, WHOLE + b"GET /v2", b" HTTP/1.1\r\n", wait=0.1)) == [200, 408]


def test_a_body_that_does_not_come_after_its_refusal_ends_the_connection(hasty):
    answer = dialog(hasty, b"POST /predict/mixed HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n")
    assert statuses(answer) == [413]


def test_who_does_not_read_its_answers_is_hung_up_on(hasty):
    with socket.socket() as plug:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plug.settimeout(20)
        plug.connect((hasty.base_url.host, hasty.base_url.port))
        quietly(socket.socket.sendall, plug, b"GET /docs HTTP/1.1\r\nHost: a\r\n\r\n" * 400)
        time.sleep(2)
        got = 0
        try:
            while piece := plug.recv(65536):
                got += len(piece)
        except ConnectionResetError:
            pass
    assert 0 < got < 400 * len(hasty.get("/docs").text)


def test_many_connections_that_hold_on_hold_nobody_up(hasty):
    plugs = [socket.create_connection((hasty.base_url.host, hasty.base_url.port), timeout=20) for _ in range(200)]
    try:
        for plug in plugs:
            plug.sendall(b"GET /v2 HTTP/1.1\r\nA: ")
        assert hasty.post("/predict/mixed", content=GOOD).status_code == 200
        assert {statuses(plug.recv(65536))[0] for plug in plugs} == {408}
    finally:
        for plug in plugs:
            plug.close()
