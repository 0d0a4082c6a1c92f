"""Static int8 (U8S8 QDQ): weights with one scale a channel, activations with scales from the calibration set.

Two choices, and none wins everywhere:

| operators | pays where |
|---|---|
| products: MatMul, Gemm, Conv, Gather, and Relu or Clip | Transformers: norms and softmax in int8 cost 1.5 points |
| all | image networks: a sum or a pool in float costs a conversion at both sides |

| ranges | pay where |
|---|---|
| minmax | everywhere first; found in one pass |
| percentile | a few large activations stretch a range: the outermost 0.01 % are clipped |

Source: Jacob et al. 2017, Quantization and Training of Neural Networks for Integer-Arithmetic-Only Inference
(arXiv 1712.05877); percentiles after Wu et al. 2020, Integer Quantization for Deep Learning Inference, section 3
(arXiv 2004.09602).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, calibrate
from onnxruntime.quantization import quantize_static as rewrite
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from tasks.compressors.calibration import CalibrationReader
from tasks.compressors.number_format import canonical, rewritten, seven_bits

Operators = Literal["products", "all"]
Ranges = Literal["minmax", "percentile"]
PRODUCTS = ("Conv", "MatMul", "Gemm", "Gather")
_METHODS = {"minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile}
# Sorted: the quantizer's own default is a set, whose order changes from process to process.
_OPERATORS = {
    "products": [*PRODUCTS, "Relu", "Clip"],
    "all": sorted({*QDQRegistry, *QLinearOpsRegistry}),
}
_PERCENTILE = 99.99
# Its percentiles tell their progress to stdout. A name of its own in that module hides the builtin there alone;
# redirecting stdout would hit every thread.
calibrate.print = lambda *_words: None


def quantize_static(
    network: onnx.ModelProto,
    calibration: np.ndarray | None,
    *,
    operators: Operators = "products",
    ranges: Ranges = "minmax",
    only: Sequence[str] = (),
    keep_float: Sequence[str] = (),
    reduce_range: bool | None = None,
    cache: Path | None = None,
    scheme: str = "static",
) -> onnx.ModelProto:
    """The network in int8; the same network and calibration set give the same bytes.

    Args:
        network: From `encoded` to `logits`; stays as it is.
        calibration: Encoded rows (N, ...) of the training split; one is enough to run, some hundred to fit.
        operators: Which kinds of node become int8.
        ranges: How activation ranges are read off the calibration set.
        only: Names of the nodes to turn to int8, as in `number_format.prepare`; empty takes all.
        keep_float: Names of nodes to leave in float.
        reduce_range: Whether weights do with 7 bits, since sums would overflow; None asks this CPU.
        cache: A file for the ranges: written by the first call, read by later ones on the same network and rows.
        scheme: What to call this in errors.

    Raises:
        ConfigError: If there are no rows, or one that is not a number.
        GraphError: If the quantizer cannot read the network.
    """
    reader = CalibrationReader(calibration, alike=ranges == "percentile")
    narrow = seven_bits(reduce_range)
    if not any(node.op_type in _OPERATORS[operators] for node in network.graph.node):
        return canonical(network, network, scheme)  # histograms of nothing would be an error

    def work(source: Path, result: Path) -> None:
        rewrite(
            source,
            result,
            reader,
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=narrow,
            calibrate_method=_METHODS[ranges],
            op_types_to_quantize=_OPERATORS[operators],
            nodes_to_quantize=list(only),
            nodes_to_exclude=list(keep_float),
            calibration_cache_path=cache,
            extra_options={"CalibPercentile": _PERCENTILE} if ranges == "percentile" else {},
        )

    return rewritten(network, scheme, work)
