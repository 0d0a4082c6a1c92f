import hashlib
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from deployments.serving.library import Library
from deployments.serving.trial import Limits, _environment, _understood, undergo
from deployments.serving.watcher import Watcher
from tasks.contracts.errors import ConfigError, GraphError, IntegrityError
from tasks.contracts.manifest import GoldenBatch
from tasks.contracts.schema import Feature, Schema

PLAIN = Schema(task="regression", features=tuple(Feature(name=n, kind="number") for n in "ab"), target="y")
ROWS = {"features": [[1.0, 2.0]]}
GOLDEN = GoldenBatch(inputs=ROWS, outputs={"value": [3.0]})


def graph_of(nodes, constants=()):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["n"])],
        [each if isinstance(each, TensorProto) else numpy_helper.from_array(*each) for each in constants],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("evil", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def summed(name="value"):
    return helper.make_node("ReduceSum", ["features", "axis"], [name], keepdims=0)


AXIS = (np.array([1], np.int64), "axis")


def loop(_):
    """Counts to 2^62, and adds nothing."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Identity", ["v"], ["v2"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, ["n"]),
        ],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v2", TensorProto.FLOAT, ["n"]),
        ],
    )
    nodes = [summed("start"), helper.make_node("Loop", ["times", "true", "start"], ["value"], body=body)]
    return graph_of(nodes, [AXIS, (np.array(2**62), "times"), (np.array(True), "true")])


def filled(elements):
    """Adds the largest of so many zeros, which must lie in memory first."""
    nodes = [
        summed("sum"),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("Shape", ["features"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["rows"]),
        helper.make_node("Cast", ["rows"], ["row"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["zeros", "row"], ["full"]),
        helper.make_node("ReduceMax", ["full"], ["most"], keepdims=0),
        helper.make_node("Add", ["sum", "most"], ["value"]),
    ]
    return graph_of(nodes, [AXIS, (np.array([elements], np.int64), "size"), (np.array(0), "first")])


def leaning_on(location):
    tensor = numpy_helper.from_array(np.ones(2, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return graph_of([helper.make_node("MatMul", ["features", "w"], ["value"])], [tensor])


def hard_link(folder):
    (folder.parent / "secret").write_bytes(b"12345678")
    (folder / "w").hardlink_to(folder.parent / "secret")
    return leaning_on("w")


def soft_link(folder):
    (folder / "w").symlink_to("/etc/passwd")
    return leaning_on("w")


HOSTILE = {
    "a loop for ever": (loop, "ai.onnx::Loop, but must be an operator"),
    "2 GB of zeros": (lambda _: filled(2**29), "more than .* bytes of memory"),
    "100 GB of zeros": (lambda _: filled(25 * 2**30), "more than .* bytes of memory"),
    "a hard link": (hard_link, "hard links"),
    "a symbolic link": (soft_link, "symbolic link"),
    "a path upwards": (lambda _: leaning_on("../../../../etc/passwd"), "plain path"),
    "an absolute path": (lambda _: leaning_on("/etc/passwd"), "plain path"),
    "a foreign operator": (
        lambda _: graph_of([helper.make_node("F", ["features"], ["value"], domain="evil")]),
        "evil::F",
    ),
    "half a file": (lambda _: graph_of([summed()], [AXIS])[:-7], "no ONNX graph"),
    "a pickle": (lambda _: b"\x80\x04K\x01.", "is a pickle"),
    "another answer": (
        lambda _: graph_of([helper.make_node("ReduceMax", ["features", "axis"], ["value"], keepdims=0)], [AXIS]),
        "off by",
    ),
    "other types": (lambda _: graph_of([helper.make_node("Shape", ["features"], ["value"])]), "cannot be loaded"),
}


@pytest.fixture
def attempt(tiny, tmp_path):
    folder = tmp_path / "version"
    folder.mkdir()

    def tried(make, limits=None):
        content = make(folder)
        (folder / "model.onnx").write_bytes(content)
        manifest = tiny.manifest_of("numbers", (PLAIN, content, ROWS), golden=GOLDEN)
        return undergo(folder / "model.onnx", manifest, hashlib.sha256(content).hexdigest(), limits)

    return tried


def test_a_sound_graph_passes(attempt):
    passed = attempt(lambda _: graph_of([summed()], [AXIS]))
    assert passed.operators == {"ai.onnx::ReduceSum": 1} and passed.golden_rows == 1 and passed.row_seconds > 0


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_graph_is_refused_in_one_sentence(attempt, what):
    make, words = HOSTILE[what]
    with pytest.raises((GraphError, IntegrityError), match=words) as caught:
        attempt(make)
    assert "\n" not in str(caught.value)


def test_a_loop_that_a_site_allows_still_ends(attempt, monkeypatch):
    monkeypatch.setenv("INGOT_ALLOWED_OPERATORS", "ai.onnx::Loop")
    with pytest.raises(GraphError, match="did not pass its trial in 4 s, but must: .*INGOT_TRIAL_SECONDS"):
        attempt(loop, Limits(seconds=4))


def test_memory_that_a_site_allows_may_be_used(attempt):
    with pytest.raises(GraphError, match="golden value is off by 1"):
        attempt(lambda _: filled(2**26), Limits(memory_bytes=4 * 2**30))
    with pytest.raises(GraphError, match="more than 419430400 bytes of memory"):
        attempt(lambda _: filled(2**26), Limits(memory_bytes=400 * 2**20))


def test_a_file_that_was_exchanged_after_it_was_verified_is_refused(tiny, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(graph_of([summed()], [AXIS]))
    manifest = tiny.manifest_of("numbers", (PLAIN, b"", ROWS), golden=GOLDEN)
    with pytest.raises(IntegrityError, match=f"has the SHA-256 .* but must have {'0' * 64}"):
        undergo(path, manifest, "0" * 64)


@pytest.mark.parametrize("what", ["a loop for ever", "2 GB of zeros", "a foreign operator", "half a file", "a pickle"])
def test_the_old_version_goes_on_serving_where_a_hostile_one_becomes_champion(tiny, store, tmp_path, what):
    library = Library()
    watcher = Watcher(store, library)
    tiny.publish(store, "numbers", "1", tiny.numbers())
    watcher.look()
    make, words = HOSTILE[what]
    tiny.publish(store, "numbers", "2", (PLAIN, make(tmp_path), ROWS), golden=GOLDEN)
    watcher.look()
    assert [each.version for each in library.served("numbers")] == ["1"]
    with pytest.raises(GraphError, match=words):
        raise GraphError(library.shelf("numbers").last_refusal)


@pytest.mark.parametrize(
    ("code", "answer", "words"),
    [
        (None, b"", "did not pass its trial in 60 s"),
        (-signal.SIGXCPU, b"", "did not pass its trial in 60 s"),
        (-signal.SIGKILL, b"", "was killed"),
        (-signal.SIGSEGV, b"", "died of SIGSEGV under 7 bytes of memory"),
        (-signal.SIGABRT, b'{"ok":1}', "died of SIGABRT"),
        (1, b"", "ended with code 1 and no answer"),
        (0, b"", "no answer"),
        (0, b"[" * 100_000, "no answer"),
        (0, b'{"operators": {}}', "no answer"),
        (0, b'{"error": "SystemExit", "message": "bad"}', "bad"),
    ],
)
def test_however_the_child_ends_it_is_one_sentence(code, answer, words):
    with pytest.raises(GraphError, match=words):
        _understood(code, answer, Limits(memory_bytes=7))


def test_the_child_inherits_no_secret(monkeypatch):
    secrets = ("AWS_SECRET_ACCESS_KEY", "INGOT_SIGNING_KEY", "INGOT_OPENSSF_KEY", "PREFECT_API_KEY", "MY_TOKEN", "HOME")
    for name in secrets:
        monkeypatch.setenv(name, "secret")
    assert "secret" not in json.dumps(_environment())


def test_the_child_cannot_write_a_file_nor_use_more_than_its_share(tmp_path):
    script = (
        "import os, resource, sys; from deployments.serving.trial.__main__ import _limit; _limit(2**29, 5)\n"
        "print(resource.getrlimit(resource.RLIMIT_CPU), resource.getrlimit(resource.RLIMIT_CORE))\n"
        "file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)\n"
        "for act in (lambda: bytearray(2**30), lambda: os.write(file, b'x')):\n"
        "    try: act(); print('done')\n"
        "    except (MemoryError, OSError) as error: print(type(error).__name__)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "new")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert said.stdout.splitlines() == ["(6, 7) (0, 0)", "MemoryError", "OSError"]


@pytest.mark.parametrize("name", ["INGOT_TRIAL_SECONDS", "INGOT_TRIAL_MEMORY_BYTES"])
def test_refuses_limits_that_are_none(name):
    with pytest.raises(ConfigError, match=f"{name} is 'much'"):
        Limits.from_environment({name: "much"})
