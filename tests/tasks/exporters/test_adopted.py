"""A pretrained graph becomes a whole one: raw pixels in, the model's own probabilities out."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import GraphError
from tasks.datasets.build import build_dataset
from tasks.datasets.preprocessing import build_preprocessor, encode
from tasks.datasets.reader import read_split
from tasks.exporters.onnx_graph import assemble, export_network
from tasks.models import pretrained
from tasks.runtime.session import load


@pytest.fixture
def theirs():
    """A graph of pixels 0 to 255, (N, H, W, C), to two probabilities."""
    random = np.random.default_rng(0)
    made = helper.make_graph(
        [
            helper.make_node("Mul", ["pixels", "255th"], ["scaled"]),
            helper.make_node("Flatten", ["scaled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "theirs",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["rows", 5, 4, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 2])],
        [
            numpy_helper.from_array(np.float32(1 / 255), "255th"),
            numpy_helper.from_array(random.normal(size=(60, 2)).astype(np.float32), "weights"),
        ],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


def test_the_whole_graph_answers_raw_pixels_as_the_pretrained_one_does(theirs, tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (90, 5, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x=images, y=np.arange(90) % 2)
    built = build_dataset(tmp_path / "data.npz", tmp_path / "out", scaling="none")
    preprocessor = build_preprocessor(built.schema, built.encoding)
    raw = read_split(built.files["test"], built.schema).inputs
    rows = encode(preprocessor, raw)
    onnx.save(theirs, tmp_path / "model.onnx")
    architecture = Architecture(
        family="pretrained", input_shape=rows.shape[1:], output_size=2, hidden_sizes=(), file_format="onnx"
    )
    module = pretrained.load(tmp_path / "model.onnx", architecture, rows, loss="cross_entropy")
    network = export_network(module, rows[:2], 20)
    whole = assemble(preprocessor, network, built.schema, built.encoding, "cross_entropy")
    own = load(theirs.SerializeToString()).run({"pixels": raw["image"].astype(np.float32)})["probabilities"]
    np.testing.assert_allclose(load(whole.SerializeToString()).run(raw)["probabilities"], own, atol=1e-5)
    again = export_network(module, rows[:2], 20)
    assert again.SerializeToString(deterministic=True) == network.SerializeToString(deterministic=True)


class Branch(nn.Module):
    """Asks for a value in its forward."""

    def forward(self, rows):
        return rows * 2 if rows.sum() > 0 else rows


def test_a_branch_on_the_data_is_refused_in_one_line():
    with pytest.raises(
        GraphError, match="branches on the values of its rows, but a graph has one path for all: replace"
    ) as caught:
        export_network(Branch(), torch.ones(2, 3), 20)
    assert "\n" not in str(caught.value)
