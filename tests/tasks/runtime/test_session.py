import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tasks.contracts.errors import GraphError, IntegrityError
from tasks.contracts.signature import Tensor
from tasks.runtime.session import load


def graph(nodes, inputs, outputs, opset=20) -> bytes:
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=10).SerializeToString()


DOUBLE = graph(
    [helper.make_node("Add", ["x", "x"], ["y"])],
    [("x", TensorProto.FLOAT, ["batch", 4])],
    [("y", TensorProto.FLOAT, ["batch", 4])],
)
UPPER = graph(
    [helper.make_node("StringNormalizer", ["text"], ["upper"], case_change_action="UPPER", locale="C")],
    [("text", TensorProto.STRING, ["batch"])],
    [("upper", TensorProto.STRING, ["batch"])],
)


def test_runs_a_graph_from_bytes_and_from_a_file(tmp_path):
    file = tmp_path / "double.onnx"
    file.write_bytes(DOUBLE)
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    for session in (load(DOUBLE), load(file), load(str(file), threads=2)):
        np.testing.assert_array_equal(session.run({"x": rows})["y"], 2 * rows)


def test_says_what_goes_in_and_what_comes_out():
    session = load(DOUBLE)
    assert session.inputs == (Tensor(name="x", datatype="FP32", shape=(-1, 4)),)
    assert session.outputs == (Tensor(name="y", datatype="FP32", shape=(-1, 4)),)


@pytest.mark.parametrize("dtype", [object, str])
def test_strings_go_in_as_objects_or_as_numpys_own(dtype):
    answer = load(UPPER).run({"text": np.array(["Åse", "bo b"], dtype=dtype)})["upper"]
    assert answer.dtype == object
    assert answer.tolist()[1] == "BO B"
    assert load(UPPER).inputs[0].datatype == "BYTES"


def test_answers_several_threads_at_once():
    session = load(DOUBLE)
    batches = [np.full((3, 4), i, dtype=np.float32) for i in range(64)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda rows: session.run({"x": rows})["y"], batches))
    for i, answer in enumerate(answers):
        np.testing.assert_array_equal(answer, np.full((3, 4), 2 * i))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "input 'x' is missing, but the graph needs it: send x"),
        ({"z": np.zeros((1, 4), np.float32)}, "input 'z' does not exist"),
        ({"x": np.zeros((1, 3), np.float32)}, "input 'x' has shape [1, 3], but must have [-1, 4]"),
        ({"x": np.zeros(4, np.float32)}, "input 'x' has shape [4], but must have [-1, 4]"),
        ({"x": np.zeros((1, 4), np.float64)}, "expected: (tensor(float))"),
        ({"x": np.array([["a"] * 4], dtype=object)}, "expected: (tensor(float))"),
    ],
)
def test_refuses_wrong_inputs_in_one_line_and_writes_nothing_to_the_terminal(inputs, words, capfd):
    with pytest.raises(GraphError) as caught:
        load(DOUBLE).run(inputs)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", [b"", b"not a graph at all", DOUBLE[:40]])
def test_bytes_that_are_no_graph_are_an_integrity_error(content, capfd):
    with pytest.raises(IntegrityError, match="is no ONNX graph: fetch it again") as caught:
        load(content)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(IntegrityError, match=r"gone\.onnx is missing"):
        load(tmp_path / "gone.onnx")


def test_a_graph_with_an_unknown_operator_is_a_graph_error():
    model = onnx.load_from_string(DOUBLE)
    model.graph.node[0].op_type = "Conjure"
    with pytest.raises(GraphError, match=r"the graph cannot be loaded by ONNX Runtime .*Conjure"):
        load(model.SerializeToString())


def test_a_tensor_type_that_cannot_travel_is_named():
    model = graph(
        [helper.make_node("Abs", ["x"], ["y"])],
        [("x", TensorProto.DOUBLE, ["batch"])],
        [("y", TensorProto.DOUBLE, ["batch"])],
    )
    with pytest.raises(GraphError, match=r"tensor 'x' is of type tensor\(double\), but must be one of"):
        load(model)


def test_the_runtime_room_pulls_in_neither_torch_nor_prefect_nor_mlflow():
    program = (
        "import sys, tasks.runtime.session, tasks.runtime.latency, tasks.runtime.metrics;"
        "print([name for name in ('torch', 'prefect', 'mlflow', 'boto3', 'onnx', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
