"""`ingot compress` as a user calls it: a model file in, a folder out, no server anywhere."""

import json
import os
import pickle
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from onnx import TensorProto, helper

from tests.end_to_end.conftest import OF_OTHERS, ROOT, command

pytestmark = pytest.mark.end_to_end

DIGITS = ROOT / "data/digits.parquet"
FILES = {"model.onnx", "README.md", "pareto.json", "pareto.png"}


def compress(model: Path, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`ingot compress` in an empty folder, where no server could be reached; `--out` is `folder`."""

    environment = {name: value for name, value in os.environ.items() if name not in OF_OTHERS}
    line = command("compress", str(model), "--data", str(DIGITS), "--out", str(folder), *arguments)
    return subprocess.run(
        line, cwd=folder.parent, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def refusal(done: "subprocess.CompletedProcess[str]", folder: Path) -> str:
    """The one line of an input that is wrong; nothing may be left."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not folder.exists() and not list(folder.parent.glob(".ingot-*"))
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return line


def test_a_model_file_becomes_a_folder_with_a_smaller_one(trained, tmp_path):
    out = tmp_path / "out"
    done = compress(trained, out, "--max-drop", "0.3", "--max-p95-ms", "50", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert {path.name for path in out.iterdir()} == FILES
    assert found["passed"] and found["winner"] != "dense/none" and found["test_accuracy"] > 0.9
    sizes = {candidate["name"]: candidate["size_bytes"] for candidate in found["candidates"]}
    assert (out / "model.onnx").stat().st_size == sizes[found["winner"]] < 0.4 * sizes["dense/none"]
    pareto = json.loads((out / "pareto.json").read_text())
    assert pareto["winner"] == found["winner"] in pareto["front"]
    assert "# my-digits: " in (out / "README.md").read_text()
    table = pd.read_parquet(DIGITS)
    rows = table.drop(columns="label").to_numpy(np.float32)
    (labels,) = onnxruntime.InferenceSession(str(out / "model.onnx")).run(["label"], {"features": rows})
    assert np.mean(labels == table["label"]) > 0.9
    assert not (tmp_path / ".ingot").exists() and not (tmp_path / "mlruns").exists()


def test_an_impossible_budget_gives_fp32_or_nothing_by_policy(trained, tmp_path):
    done = compress(trained, tmp_path / "fp32", "--max-size-bytes", "100")
    assert done.returncode == 0, done.stderr
    assert "so it is dense fp32" in done.stdout and "max_size_bytes is 100, but it has" in done.stdout
    nothing = compress(trained, tmp_path / "no", "--max-size-bytes", "100", "--set", "evaluate.if_impossible=nothing")
    assert nothing.returncode == 1, nothing.stderr
    assert "refused: no candidate keeps the budget" in nothing.stdout
    assert {path.name for path in (tmp_path / "no").iterdir()} == FILES - {"model.onnx"}


def test_the_winner_in_openvino_lies_beside_it(trained, tmp_path):
    pytest.importorskip("openvino")
    out = tmp_path / "out"
    few = ["--set", "quantize.schemes=[none]", "--set", "prune.ratios=[]"]
    done = compress(trained, out, *few, "--set", "export.extra_formats=[openvino]")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (out / "openvino").iterdir()} == {"model.xml", "model.bin"}
    assert "dense/none+openvino" in (out / "README.md").read_text()


def test_a_calibration_set_of_one_row_is_measured_like_any_other(trained, tmp_path):
    out = tmp_path / "out"
    done = compress(trained, out, "--set", "quantize.calibration_samples=1", "--set", "prune.ratios=[]", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    (winner,) = [each for each in found["candidates"] if each["name"] == found["winner"]]
    assert winner["within_budget"] and winner["metric"] > 0.9


def test_a_pickle_is_refused(tmp_path):
    model = tmp_path / "model.pt"
    model.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
    assert "pickle" in refusal(compress(model, tmp_path / "out"), tmp_path / "out")


def test_an_operator_that_nobody_knows_is_named(tmp_path):
    node = helper.make_node("Frobnicate", ["x"], ["y"], domain="com.example")
    shape = ["batch", 64], ["batch", 10]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in zip("xy", shape, strict=True))
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.example", 1)]
    model = tmp_path / "odd.onnx"
    onnx.save(helper.make_model(helper.make_graph([node], "odd", [x], [y]), opset_imports=opsets), model)
    assert "Frobnicate" in refusal(compress(model, tmp_path / "out"), tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("absent.onnx", None, "absent.onnx"), ("empty.onnx", b"", "empty.onnx"), ("noise.onnx", b"\x00" * 99, "noise")],
)
def test_a_file_that_is_no_model_is_named(tmp_path, name, content, words):
    model = tmp_path / name
    if content is not None:
        model.write_bytes(content)
    assert words in refusal(compress(model, tmp_path / "out"), tmp_path / "out")


def test_a_folder_that_exists_is_left_as_it_is(trained, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    done = compress(trained, tmp_path / "out")
    assert done.returncode == 2 and "must not exist yet" in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]
