"""Tiny models with real graphs, a bucket in memory, and the app behind a real uvicorn."""

import asyncio
import hashlib
import json
import os
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from deployments.serving.address import listening
from deployments.serving.app import App
from deployments.serving.library import Library
from deployments.serving.server import carrier
from deployments.serving.watcher import Watcher
from tasks.contracts.artifacts import Artifact
from tasks.contracts.errors import IntegrityError, UnavailableError
from tasks.contracts.manifest import File, GoldenBatch, Lineage, Manifest
from tasks.contracts.schema import Feature, Schema
from tasks.contracts.signature import signature_of
from tasks.contracts.verdict import Gate
from tasks.runtime.session import load
from tasks.stores.journal import Journal
from tasks.stores.s3 import Versioned

os.environ.setdefault("OMP_NUM_THREADS", "1")


def model_bytes(nodes, inputs, outputs, constants=()):
    made = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def answer_nodes(labels, constants):
    """From `logits` to `label` and `probabilities`."""
    constants.append(("labels", np.array(labels, dtype=np.int64 if isinstance(labels[0], int) else object)))
    return [
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["best"], axis=1, keepdims=0),
        helper.make_node("Gather", ["labels", "best"], ["label"]),
    ]


def answer_infos(labels):
    kind = TensorProto.INT64 if isinstance(labels[0], int) else TensorProto.STRING
    return [("label", kind, ["n"]), ("probabilities", TensorProto.FLOAT, ["n", len(labels)])]


def mixed(bias=0.0):
    """Age (nullable) and city (nullable) decide between 'no' and 'yes': logits = (0, age / 10 + city + bias)."""
    labels = ("no", "yes")
    schema = Schema(
        task="classification",
        features=(
            Feature(name="age", kind="number", nullable=True),
            Feature(name="city", kind="category", nullable=True),
            Feature(name="height", kind="number"),
        ),
        target="bought",
        labels=labels,
    )
    constants = [
        ("mean", np.float32(40)),
        ("ten", np.float32(10)),
        ("bias", np.float32(bias)),
        ("column", np.array([-1, 1], np.int64)),
    ]
    nodes = [
        helper.make_node("IsNaN", ["age"], ["gap"]),
        helper.make_node("Where", ["gap", "mean", "age"], ["whole"]),
        helper.make_node("Div", ["whole", "ten"], ["scaled"]),
        helper.make_node(
            "LabelEncoder",
            ["city"],
            ["town"],
            domain="ai.onnx.ml",
            keys_strings=["Oslo", "Bergen", ""],
            values_floats=[1.0, -9.0, 0.5],
            default_float=0.0,
        ),
        helper.make_node("Add", ["scaled", "town"], ["sum"]),
        helper.make_node("Add", ["sum", "bias"], ["shifted"]),
        helper.make_node("Sub", ["height", "height"], ["nothing"]),
        helper.make_node("Add", ["shifted", "nothing"], ["score"]),
        helper.make_node("Reshape", ["score", "column"], ["yes"]),
        helper.make_node("Sub", ["yes", "yes"], ["no"]),
        helper.make_node("Concat", ["no", "yes"], ["logits"], axis=1),
        *answer_nodes(labels, constants),
    ]
    inputs = [
        ("age", TensorProto.FLOAT, ["n"]),
        ("city", TensorProto.STRING, ["n"]),
        ("height", TensorProto.FLOAT, ["n"]),
    ]
    rows = {"age": [41.0, None, 7.5], "city": ["Oslo", "", "Rome"], "height": [1.8, 1.7, 1.2]}
    return schema, model_bytes(nodes, inputs, answer_infos(labels), constants), rows


def numbers(weight=2.0):
    """value = weight * (a + b)."""
    schema = Schema(
        task="regression",
        features=(Feature(name="a", kind="number"), Feature(name="b", kind="number", nullable=True)),
        target="y",
    )
    constants = [("weights", np.full((2, 1), weight, np.float32)), ("flat", np.array([-1], np.int64))]
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["product"]),
        helper.make_node("Reshape", ["product", "flat"], ["raw"]),
        helper.make_node("IsNaN", ["raw"], ["gap"]),
        helper.make_node("CastLike", ["zero", "raw"], ["none"]),
        helper.make_node("Where", ["gap", "none", "raw"], ["value"]),
    ]
    constants.append(("zero", np.float32(0)))
    inputs = [("features", TensorProto.FLOAT, ["n", 2])]
    graph = model_bytes(nodes, inputs, [("value", TensorProto.FLOAT, ["n"])], constants)
    return schema, graph, {"features": [[1.0, 2.0], [0.5, -3.0]]}


def image(shift=0.0):
    """A 2 x 3 image of bytes: class 1 if it is bright."""
    labels = (0, 1)
    schema = Schema(
        task="classification",
        features=(Feature(name="pixels", kind="image", shape=(2, 3)),),
        target="bright",
        labels=labels,
    )
    constants = [("axes", np.array([1, 2], np.int64)), ("half", np.float32(127.5 + shift))]
    constants += [("column", np.array([-1, 1], np.int64))]
    nodes = [
        helper.make_node("Cast", ["image"], ["light"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["light", "axes"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "half"], ["score"]),
        helper.make_node("Reshape", ["score", "column"], ["bright"]),
        helper.make_node("Neg", ["bright"], ["dark"]),
        helper.make_node("Concat", ["dark", "bright"], ["logits"], axis=1),
        *answer_nodes(labels, constants),
    ]
    graph = model_bytes(nodes, [("image", TensorProto.UINT8, ["n", 2, 3])], answer_infos(labels), constants)
    return schema, graph, {"image": [[[0, 1, 2], [3, 4, 5]], [[255, 254, 253], [252, 251, 250]]]}


def text():
    """A text is 'question' if it is 'why', whatever the case."""
    labels = ("question", "statement")
    schema = Schema(
        task="classification", features=(Feature(name="sentence", kind="text"),), target="kind", labels=labels
    )
    constants = [("column", np.array([-1, 1], np.int64))]
    nodes = [
        helper.make_node("StringNormalizer", ["text"], ["lower"], case_change_action="LOWER", locale="C"),
        helper.make_node(
            "LabelEncoder",
            ["lower"],
            ["score"],
            domain="ai.onnx.ml",
            keys_strings=["why"],
            values_floats=[3.0],
            default_float=-3.0,
        ),
        helper.make_node("Reshape", ["score", "column"], ["asks"]),
        helper.make_node("Neg", ["asks"], ["says"]),
        helper.make_node("Concat", ["asks", "says"], ["logits"], axis=1),
        *answer_nodes(labels, constants),
    ]
    graph = model_bytes(nodes, [("text", TensorProto.STRING, ["n"])], answer_infos(labels), constants)
    return schema, graph, {"text": ["Why", "Because"]}


def golden_of(schema, graph, rows):
    """What this very graph answers."""
    arrays = {}
    for tensor in signature_of(schema).inputs:
        kind = {"FP32": np.float32, "UINT8": np.uint8, "BYTES": object}[tensor.datatype]
        arrays[tensor.name] = np.array(rows[tensor.name], dtype=kind)
    outputs = {name: array.tolist() for name, array in load(graph).run(arrays).items()}
    return GoldenBatch(inputs=rows, outputs=outputs)


def artifact_of(content, bucket="ingot"):
    digest = hashlib.sha256(content).hexdigest()
    uri = f"s3://{bucket}/blobs/sha256/{digest}"
    return Artifact(uri=uri, sha256=digest, size_bytes=len(content), chunks=(digest,))


def manifest_of(name, made, *, golden=None, **changes):
    schema, graph, rows = made
    facts = {
        "model": name,
        "run_key": hashlib.sha256(graph).hexdigest(),
        "candidate": "dense/none",
        "metric_name": "rmse" if schema.task == "regression" else "accuracy",
        "files": (File(path="model.onnx", artifact=artifact_of(graph)),),
        "signature": signature_of(schema),
        "metrics": {"test": 0.9831234},
        "gate": Gate(passed=True, reason="no gate was asked for"),
        "golden": golden or golden_of(schema, graph, rows),
        "lineage": Lineage(data_digest="d", config_digest="c", code_digest="k", seed=0),
        "created_at": "2026-11-21T00:00:00+00:00",
    }
    return Manifest(**(facts | changes))


class Bucket:
    """`tasks.stores.s3.Store` in memory; `down` makes it fall silent, `reads` counts what was asked."""

    bucket, prefix = "ingot", ""

    def __init__(self):
        self.objects, self.down, self.reads, self.lock = {}, False, [], threading.Lock()

    def _answer(self, key):
        if self.down:
            raise UnavailableError("S3 at 127.0.0.1:1 does not answer: start it")
        self.reads.append(key)

    def read(self, key):
        self._answer(key)
        content = self.objects.get(key)
        return None if content is None else Versioned(content, hashlib.md5(content).hexdigest())

    def replace(self, key, content, etag):
        with self.lock:
            found = self.read(key)
            if (found.etag if found else None) != etag:
                return False
            self.objects[key] = content
            return True

    def create(self, key, content):
        return self.replace(key, content, None) or self.objects[key] == content

    def put_bytes(self, content):
        made = artifact_of(content)
        self.objects[f"blobs/sha256/{made.sha256}"] = content
        return made

    def fetch(self, artifact, to):
        key = f"blobs/sha256/{artifact.sha256}"
        self._answer(key)
        content = self.objects.get(key, b"")
        if hashlib.sha256(content).hexdigest() != artifact.sha256:
            raise IntegrityError(f"{artifact.uri} is not what its digest says: publish it again")
        to.write_bytes(content)
        return to

    def keys(self, prefix):
        self._answer(prefix)
        return iter(sorted(key for key in self.objects if key.startswith(prefix)))

    def uri(self, key):
        return f"s3://ingot/{key}"


def publish(store, name, version, made, *, tamper=None, **changes):
    """Commits a version and makes it champion, as the flow does."""
    manifest = manifest_of(name, made, **changes)
    store.put_bytes(made[1])
    if tamper is not None:
        store.objects[f"blobs/sha256/{manifest.files[0].artifact.sha256}"] = tamper
    journal = Journal(store, name)
    _, digest = journal.put_manifest(manifest)
    facts = {"version": version, "manifest": digest, "run_key": manifest.run_key, "actor": "test", "reason": "test"}
    journal.append(action="publish", **facts)
    journal.move_pointer(journal.append(action="promote", **facts))
    return manifest


def rollback(store, name, version, manifest):
    journal = Journal(store, name)
    facts = {"version": version, "manifest": manifest.digest, "run_key": manifest.run_key}
    journal.move_pointer(journal.append(action="rollback", **facts, actor="test", reason="test"))


def call(app, method, path, body=b"", *, headers=(), chunks=(), unpack=bytes, raw_path=b""):
    """One request straight into an ASGI app: status, headers, and the parsed body (or the text, if it is not JSON)."""
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if isinstance(body, dict | list):
        body = json.dumps(body).encode()
    waiting.append({"type": "http.request", "body": body, "more_body": False})
    sent = []

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "raw_path": raw_path, "headers": list(headers)}
    asyncio.run(app(scope, receive, send))
    content = unpack(b"".join(message.get("body", b"") for message in sent[1:]))
    head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    value = json.loads(content) if head["content-type"] == "application/json" else content.decode("utf-8", "replace")
    return SimpleNamespace(status=sent[0]["status"], headers=head, body=value, content=content, left=waiting)


@contextmanager
def carried(app, limits=None):
    """The app behind uvicorn on a free port."""
    with listening("127.0.0.1", 0) as listener:
        server = carrier(app, limits=limits)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=20) as client:
                wait_until(lambda: server.started)
                yield client
        finally:
            server.should_exit = True
            thread.join()


def wait_until(holds, seconds=20.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{holds} did not come true"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def tiny():
    """What the tests build with."""
    return SimpleNamespace(
        mixed=mixed,
        numbers=numbers,
        image=image,
        text=text,
        manifest_of=manifest_of,
        artifact_of=artifact_of,
        publish=publish,
        rollback=rollback,
        call=call,
        carried=carried,
        wait_until=wait_until,
        Bucket=Bucket,
    )


@pytest.fixture
def store():
    return Bucket()


@pytest.fixture(scope="module")
def bucket():
    """A bucket that holds one model of each kind; tests that change it ask for `store` instead."""
    full = Bucket()
    for name, made in {"mixed": mixed(), "numbers": numbers(), "image": image(), "text": text()}.items():
        publish(full, name, "1", made)
    return full


@pytest.fixture(scope="module")
def library(bucket):
    shelves = Library()
    Watcher(bucket, shelves).look()
    return shelves


@pytest.fixture(scope="module")
def app(library):
    made = App(library, max_body_bytes=1_000_000, version="1.2.3")
    yield made
    made.close()


@pytest.fixture(scope="module")
def ask(app):
    """Sends one request to the app: `ask("POST", "/predict/mixed", {...})`."""

    def send(method, path, body=b"", **more):
        return call(app, method, path, body, **more)

    return send


@pytest.fixture(scope="module")
def http(app):
    """A client of the app behind uvicorn."""
    with carried(app) as client:
        yield client
