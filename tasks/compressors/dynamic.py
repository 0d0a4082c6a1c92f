"""Dynamic int8: weights in int8 with one scale a tensor, activations scaled on each call. It needs no data.

It pays on matrix products and LSTM cells, and slows convolutions 3.6 to 7 times.
"""

import onnx
from onnxruntime.quantization import QuantType
from onnxruntime.quantization import quantize_dynamic as rewrite

from tasks.compressors.number_format import rewritten, seven_bits


def quantize_dynamic(network: onnx.ModelProto, *, reduce_range: bool | None = None) -> onnx.ModelProto:
    """The network with int8 weights.

    Args:
        network: From `encoded` to `logits`; stays as it is.
        reduce_range: Whether weights do with 7 bits, since sums would overflow; None asks this CPU.

    Raises:
        GraphError: If the quantizer cannot read the network.
    """
    narrow = seven_bits(reduce_range)
    return rewritten(
        network,
        "dynamic",
        lambda source, result: rewrite(source, result, weight_type=QuantType.QInt8, reduce_range=narrow),
    )
