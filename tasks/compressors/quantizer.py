"""From a float network graph to one of fewer bits, by the name of a scheme.

| scheme | weights | activations | pays where |
|---|---|---|---|
| none | float | float | after heavy cutting, at batch 1 |
| dynamic | int8, one scale a tensor | uint8, scaled on each call | matrix products, LSTM; slows convolutions |
| static | int8, one scale a channel | uint8 around products, scales from the calibration set | Transformers |
| static-all | the same | uint8 wherever an operator knows it | image networks |
| static-percentile | as static | the same, outermost values clipped | outliers |
| int4 | 4 bits in blocks, large products alone | float | bytes, where rows are wide |

No scheme wins everywhere, so every candidate is measured. The quantizer sees the network alone, encoded rows in and
logits out; preprocessing and answers stay as they are. Two more schemes need more than a graph: mixed, in
`sensitivity`, needs a measure of the loss, and qat, in `qat`, needs training.
"""

import numpy as np
import onnx

from tasks.compressors.dynamic import quantize_dynamic
from tasks.compressors.schemes import GraphScheme
from tasks.compressors.static import quantize_static
from tasks.compressors.weight_only import quantize_weights


def quantize(
    network: onnx.ModelProto,
    scheme: GraphScheme,
    calibration: np.ndarray | None = None,
    *,
    reduce_range: bool | None = None,
) -> onnx.ModelProto:
    """The network under a scheme; the same network and calibration set give the same bytes.

    Args:
        network: From `encoded` to `logits`, of `exporters.onnx_graph.export_network`; stays as it is.
        scheme: Which number format; none hands back the network itself.
        calibration: Encoded rows (N, ...) of the training split; the static schemes alone need them.
        reduce_range: Whether int8 weights do with 7 bits, since sums would overflow; None asks this CPU.

    Raises:
        ConfigError: If a static scheme gets no rows.
        GraphError: If the quantizer cannot read the network.
    """
    match scheme:
        case "none":
            return network
        case "dynamic":
            return quantize_dynamic(network, reduce_range=reduce_range)
        case "int4":
            return quantize_weights(network)
    return quantize_static(
        network,
        calibration,
        operators="all" if scheme == "static-all" else "products",
        ranges="percentile" if scheme == "static-percentile" else "minmax",
        reduce_range=reduce_range,
        scheme=scheme,
    )
