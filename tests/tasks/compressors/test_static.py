import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from tasks.compressors.number_format import prepare
from tasks.compressors.static import quantize_static
from tasks.exporters.onnx_graph import export_network
from tasks.runtime.session import load


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.second = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16))
        self.head = nn.Linear(16, 4)

    def forward(self, images):
        hidden = torch.relu(self.first(images))
        return self.head(torch.relu(hidden + self.second(hidden)).mean((2, 3)))


@pytest.fixture(name="layer")
def _layer():
    layer = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.0], [0.5, 0.25]]))
    return layer


def tensors(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}


def test_scales_are_those_of_minmax_by_hand(layer):
    rows = np.float32([[-1.0, 3.0], [0.5, 1.0]])
    found = tensors(quantize_static(export_network(layer, rows, 20), rows, reduce_range=False))
    # Activations are uint8 over [-1, 3]: 4 / 255, and 0 lies at round(1 / scale) = 64.
    assert found["encoded_scale"] == pytest.approx(4 / 255)
    assert found["encoded_zero_point"] == 64
    # Logits: [-1, 3] gives (-7, 0.25), [0.5, 1] gives (-1.5, 0.5): [-7, 0.5].
    assert found["logits_scale"] == pytest.approx(7.5 / 255)
    # Weights are int8, symmetric, one scale for each output: max / 127.
    weights = next(value for name, value in found.items() if name.endswith("scale") and value.shape == (2,))
    np.testing.assert_allclose(weights, [2 / 127, 0.5 / 127], rtol=1e-6)
    int8 = next(value for value in found.values() if value.dtype == np.int8 and value.ndim == 2)
    np.testing.assert_array_equal(np.sort(int8.flatten()), np.sort([64, -127, 127, 64]))


def test_weights_do_with_seven_bits_when_asked(layer):
    rows = np.float32([[-1.0, 3.0]])
    found = tensors(quantize_static(export_network(layer, rows, 20), rows, reduce_range=True))
    int8 = next(value for value in found.values() if value.dtype == np.int8 and value.ndim == 2)
    assert np.abs(int8).max() == 64


def test_percentiles_clip_an_outlier_that_minmax_would_stretch_the_range_to(layer):
    rows = np.random.default_rng(0).uniform(-1, 1, size=(20_000, 2)).astype(np.float32)
    rows[0, 0] = 100.0
    network = export_network(layer, rows, 20)
    wide = tensors(quantize_static(network, rows))["encoded_scale"]
    narrow = tensors(quantize_static(network, rows, ranges="percentile"))["encoded_scale"]
    assert wide == pytest.approx(101 / 255, rel=0.01)
    assert narrow < wide / 20


@pytest.mark.parametrize(("operators", "reader"), [("products", "Relu"), ("all", "QuantizeLinear")])
def test_residual_sums_are_int8_with_all_operators_and_float_with_products_alone(operators, reader):
    torch.manual_seed(0)
    rows = np.random.default_rng(0).normal(size=(20, 1, 12, 12)).astype(np.float32)
    quantized = quantize_static(export_network(Residual(), rows, 20), rows, operators=operators)
    total = next(node for node in quantized.graph.node if node.op_type == "Add")
    assert [node.op_type for node in quantized.graph.node if total.output[0] in node.input] == [reader]


def test_a_layer_that_is_kept_in_float_has_float_weights_and_no_other(trained):
    _, network, rows, _ = trained
    second = [node.name for node in prepare(network).graph.node if node.op_type == "Gemm"][1]
    kept = quantize_static(network, rows[:64], keep_float=[second])
    alone = quantize_static(network, rows[:64], only=[second])
    for model, sizes in ((kept, [256 * 256]), (alone, [3 * 256, 20 * 256])):
        found = [each.size for each in tensors(model).values() if each.ndim == 2 and each.dtype == np.float32]
        assert sorted(found) == sizes


def test_ranges_that_are_kept_in_a_file_are_not_looked_for_again(trained, tmp_path):
    _, network, rows, _ = trained
    first = quantize_static(network, rows[:64], cache=tmp_path / "ranges.json")
    again = quantize_static(network, 9 * rows[:64], cache=tmp_path / "ranges.json")
    assert first.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)
    load(again.SerializeToString()).run({"encoded": rows[:3]})
