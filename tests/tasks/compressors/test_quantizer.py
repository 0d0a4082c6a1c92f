import logging
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from tasks.compressors.quantizer import quantize
from tasks.contracts.errors import ConfigError, GraphError
from tasks.exporters.onnx_graph import export_network
from tasks.runtime.session import load

SCHEMES = ("dynamic", "static", "static-all", "static-percentile")
STATIC = SCHEMES[1:]


def to_bytes(model: onnx.ModelProto) -> bytes:
    return model.SerializeToString(deterministic=True)


def logits(model: onnx.ModelProto, rows: np.ndarray) -> np.ndarray:
    return load(to_bytes(model)).run({"encoded": rows})["logits"]


@pytest.mark.parametrize(
    ("scheme", "times"), [("dynamic", 3.7), *((scheme, 3.4) for scheme in STATIC)]
)  # a scale each channel takes room
def test_int8_answers_almost_like_float_at_a_quarter_of_the_bytes(trained, scheme, times):
    _, network, rows, classes = trained
    quantized = quantize(network, scheme, rows[:256])
    held_out, truth = rows[2000:], classes[2000:]
    exact = (logits(network, held_out).argmax(1) == truth).mean()
    small = (logits(quantized, held_out).argmax(1) == truth).mean()
    assert 0.9 < exact < 1.0
    assert abs(small - exact) <= 0.005
    assert len(to_bytes(network)) / len(to_bytes(quantized)) > times


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_weight_matrix_is_int8(trained, scheme):
    _, network, rows, _ = trained
    tensors = [numpy_helper.to_array(each) for each in quantize(network, scheme, rows[:64]).graph.initializer]
    matrices = [each for each in tensors if each.ndim == 2]
    assert sorted(each.size for each in matrices) == [3 * 256, 20 * 256, 256 * 256]
    assert {each.dtype for each in matrices} == {np.dtype(np.int8)}


def test_none_is_the_network_itself(trained):
    network = trained[1]
    assert quantize(network, "none") is network


def test_calibration_does_not_depend_on_the_order_or_the_batches_of_its_rows(trained):
    _, network, rows, _ = trained
    shuffled = np.random.default_rng(1).permutation(rows[:200])
    assert to_bytes(quantize(network, "static", rows[:200])) == to_bytes(quantize(network, "static", shuffled))


def test_other_calibration_rows_give_other_scales(trained):
    _, network, rows, _ = trained
    assert to_bytes(quantize(network, "static", rows[:200])) != to_bytes(quantize(network, "static", 2 * rows[:200]))


def test_the_same_network_has_the_same_digest_in_two_processes(trained, tmp_path):
    _, network, rows, _ = trained
    onnx.save(network, tmp_path / "network.onnx")
    np.save(tmp_path / "rows.npy", rows[:100])
    program = (
        "import sys, hashlib, numpy, onnx; from tasks.compressors.quantizer import quantize;"
        "network, rows = onnx.load(sys.argv[1] + '/network.onnx'), numpy.load(sys.argv[1] + '/rows.npy');"
        "from tasks.contracts.record import sha256_hex;"
        "[print(sha256_hex(quantize(network, scheme, rows).SerializeToString(deterministic=True)))"
        " for scheme in ('dynamic', 'static', 'static-all', 'static-percentile', 'int4')]"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.split()) == 5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_graph_stays_canonical_and_its_batch_free(trained, scheme):
    _, network, rows, _ = trained
    before = to_bytes(network)
    quantized = quantize(network, scheme, rows[:100])
    assert to_bytes(network) == before
    assert quantized.producer_name == "ingot"
    assert not quantized.metadata_props
    assert [(entry.domain, entry.version) for entry in quantized.opset_import] == [("", 20)]
    assert logits(quantized, rows[:3]).shape == (3, 3)
    assert logits(quantized, rows[:1]).shape == (1, 3)
    onnx.checker.check_model(quantized, full_check=True)


class TextNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(500, 32)
        self.cell = nn.LSTM(32, 16, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, ids):
        return self.head(self.cell(self.embed(ids))[0].mean(1))


class ImageNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.second = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16))
        self.head = nn.Linear(16, 4)

    def forward(self, images):
        hidden = torch.relu(self.first(images))
        return self.head(torch.relu(hidden + self.second(hidden)).mean((2, 3)))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_texts_and_images_quantize_too(scheme):
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    for module, rows in (
        (TextNet(), random.integers(0, 500, size=(50, 12))),
        (ImageNet(), random.normal(size=(50, 1, 12, 12)).astype(np.float32)),
    ):
        network = export_network(module, rows, 20)
        quantized = quantize(network, scheme, rows)
        expected = logits(network, rows)
        np.testing.assert_allclose(logits(quantized, rows), expected, atol=0.05 * np.abs(expected).max())
        assert len(to_bytes(quantized)) < len(to_bytes(network))


@pytest.mark.parametrize("scheme", STATIC)
@pytest.mark.parametrize("rows", [None, np.zeros((0, 20), np.float32)])
def test_static_without_calibration_rows_is_refused(trained, scheme, rows):
    with pytest.raises(ConfigError, match=r"the calibration set is empty, .*take 'static' out of quantize\.schemes"):
        quantize(trained[1], scheme, rows)


@pytest.mark.parametrize("scheme", STATIC)
def test_one_calibration_row_is_enough_to_run(trained, scheme):
    _, network, rows, _ = trained
    assert np.isfinite(logits(quantize(network, scheme, rows[:1]), rows[:50])).all()


def test_calibration_rows_that_are_not_numbers_are_refused(trained):
    rows = np.full((3, 20), np.nan, np.float32)
    with pytest.raises(ConfigError, match="holds values that are not finite, but static int8 needs ranges"):
        quantize(trained[1], "static", rows)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_network_the_quantizer_cannot_read_is_refused_in_one_line(trained, scheme):
    broken = onnx.ModelProto.FromString(to_bytes(trained[1]))
    broken.graph.node[0].op_type = "Conjure"
    with pytest.raises(GraphError, match=rf"cannot be quantized by scheme {scheme}: .*take '{scheme}' out") as caught:
        quantize(broken, scheme, np.zeros((2, 20), np.float32))
    assert "\n" not in str(caught.value)


def test_a_network_with_nothing_to_quantize_stays_as_it_is():
    class Sum(nn.Module):
        def forward(self, rows):
            return rows.cumsum(1)

    network = export_network(Sum(), np.ones((2, 3), np.float32), 20)
    for scheme in (*SCHEMES, "int4"):
        assert scheme == "static-all" or to_bytes(quantize(network, scheme, np.ones((2, 3), np.float32))) == to_bytes(
            network
        )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_quantizing_is_silent_and_leaves_logging_alone(trained, scheme, capfd):
    root = logging.getLogger()
    before = list(root.handlers), list(root.filters), root.level
    quantize(trained[1], scheme, trained[2][:50])
    assert (list(root.handlers), list(root.filters), root.level) == before
    assert capfd.readouterr() == ("", "")
