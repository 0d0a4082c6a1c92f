import numpy as np
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from tasks.compressors.dynamic import quantize_dynamic
from tasks.exporters.onnx_graph import export_network


@pytest.mark.parametrize(("reduce_range", "most"), [(False, 127), (True, 64)])
def test_weights_are_rounded_to_one_scale_a_matrix_as_reckoned_by_hand(reduce_range, most):
    layer = nn.Linear(2, 2, bias=False)
    weights = np.float32([[1.0, -2.0], [0.5, 0.25]])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights))
    quantized = quantize_dynamic(export_network(layer, np.ones((1, 2), np.float32), 20), reduce_range=reduce_range)
    matrix = next(
        array
        for array in map(numpy_helper.to_array, quantized.graph.initializer)
        if array.ndim == 2 and array.dtype == np.int8
    )
    np.testing.assert_array_equal(matrix, np.rint(weights.T / (2.0 / most)))
