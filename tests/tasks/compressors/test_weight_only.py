import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from tasks.compressors.weight_only import block_of, quantize_weights
from tasks.exporters.onnx_graph import export_network
from tasks.runtime.session import load


def logits(model: onnx.ModelProto, rows: np.ndarray) -> np.ndarray:
    return load(model.SerializeToString()).run({"encoded": rows})["logits"]


def in_blocks(matrix: np.ndarray, size: int) -> np.ndarray:
    """The weights as 16 steps from the least to the most of each block leave them, zero being one of them."""
    rounded = np.zeros_like(matrix)
    for start in range(0, len(matrix), size):
        block = matrix[start : start + size]
        least, most = np.minimum(block.min(0), 0), np.maximum(block.max(0), 0)
        scale = (most - least) / 15
        zero = np.rint(-least / scale)
        rounded[start : start + size] = (np.clip(np.rint(block / scale + zero), 0, 15) - zero) * scale
    return rounded


@pytest.mark.parametrize("size", [32, 64])
def test_answers_are_those_of_weights_rounded_to_sixteen_steps_a_block(size):
    torch.manual_seed(0)
    layer = nn.Linear(128, 20)
    rows = np.random.default_rng(0).normal(size=(16, 128)).astype(np.float32)
    found = logits(quantize_weights(export_network(layer, rows, 20), block_size=size), rows)
    weights = in_blocks(layer.weight.detach().numpy().T, size)
    expected = rows @ weights + layer.bias.detach().numpy()
    # The runtime rounds rows to int8 as well, a hundredth of the size of the answers.
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


def test_large_matrices_have_seven_times_fewer_bytes_and_answer_almost_alike(trained):
    _, network, rows, classes = trained
    small = quantize_weights(network)
    exact = (logits(network, rows[2000:]).argmax(1) == classes[2000:]).mean()
    assert (logits(small, rows[2000:]).argmax(1) == classes[2000:]).mean() > exact - 0.01
    packed = [each for each in map(numpy_helper.to_array, small.graph.initializer) if each.dtype == np.uint8]
    assert 256 * 256 * 4 / sum(each.nbytes for each in packed) > 7
    assert logits(small, rows[:1]).shape == (1, 3)
    onnx.checker.check_model(small)


def test_matrices_that_are_small_or_of_few_rows_stay_in_float(trained):
    small = quantize_weights(trained[1])
    floats = [each.size for each in map(numpy_helper.to_array, small.graph.initializer) if each.dtype == np.float32]
    assert {20 * 256, 3 * 256} <= set(floats)
    assert 256 * 256 not in floats


def test_word_vectors_are_packed_too():
    torch.manual_seed(0)

    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.vectors, self.head = nn.Embedding(300, 64), nn.Linear(64, 5)

        def forward(self, ids):
            return self.head(self.vectors(ids).mean(1))

    rows = np.random.default_rng(0).integers(0, 300, size=(20, 6))
    network = export_network(Words(), rows, 20)
    small = quantize_weights(network)
    assert len(network.SerializeToString()) > 5 * len(small.SerializeToString())
    np.testing.assert_allclose(logits(small, rows), logits(network, rows), atol=0.15)


def test_a_network_without_a_large_product_stays_as_it_is():
    network = export_network(nn.Linear(8, 3), np.ones((2, 8), np.float32), 20)
    assert quantize_weights(network) is network


def test_a_block_is_chosen_by_its_bytes_padding_included():
    for rows in (32, 100, 128, 129, 300, 784):
        sizes = {size: -(-rows // size) * (size / 2 + 4.5) for size in (32, 64, 128)}
        assert sizes[block_of(rows)] == min(sizes.values())
