"""From a float network graph to one in int8, by ONNX Runtime's own quantizer.

| scheme | weights | activations | pays where |
|---|---|---|---|
| none | float | float | after heavy cutting, at batch 1 |
| dynamic | int8, one scale a tensor | uint8, scaled on each call | matrix products, LSTM; slows convolutions |
| static | int8, one scale a channel | uint8, scales from the calibration set | convolutions, large matrices |

No scheme wins everywhere, so every candidate is measured. The quantizer sees the network alone, encoded rows in and
logits out; preprocessing and answers stay as they are.

Source: Jacob et al. 2017, Quantization and Training of Neural Networks for Integer-Arithmetic-Only Inference
(arXiv 1712.05877); U8S8 and QDQ as in ONNX Runtime's guide "Quantize ONNX models".
"""

import logging
import lzma
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from tasks.compressors.calibration import CalibrationReader
from tasks.contracts.errors import GraphError
from tasks.runtime.session import NATIVE_ERRORS

Scheme = Literal["none", "dynamic", "static"]
_QUANTIZED = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "DynamicQuantizeLSTM"}
_PRODUCTS = ["Conv", "MatMul", "Gemm", "Gather", "Relu", "Clip"]
_MOST_BYTES_FOR_BEST_EFFORT = 4 * 2**20
# What the quantizer raises on graphs it does not know; it has no error of its own.
_ERRORS: tuple[type[Exception], ...] = (*NATIVE_ERRORS, TypeError, LookupError, AttributeError, AssertionError)
_log = logging.getLogger(__name__)


def quantize(network: onnx.ModelProto, scheme: Scheme, calibration: np.ndarray | None = None) -> onnx.ModelProto:
    """The network under a scheme; the same network and calibration set give the same bytes.

    Args:
        network: From `encoded` to `logits`, of `exporters.onnx_graph.export_network`; stays as it is.
        scheme: Which number format; none hands back the network itself.
        calibration: Encoded rows (N, ...) of the training split; static alone needs them.

    Raises:
        ConfigError: If static gets no rows.
        GraphError: If the quantizer cannot read the network.
    """
    if scheme == "none":
        return network
    reader = CalibrationReader(calibration) if scheme == "static" else None
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder, _quiet():
        try:
            quantized = _quantized(network, reader, Path(folder))
        except _ERRORS as error:
            raise GraphError(
                f"the network cannot be quantized by scheme {scheme}: {' '.join(str(error).split())[:300]}: "
                f"take {scheme!r} out of quantize.schemes"
            ) from error
    if not any(node.op_type in _QUANTIZED for node in quantized.graph.node):
        _log.warning("the network has nothing that scheme %s could quantize: it stays in float", scheme)
        return network
    return _canonical(quantized, network)


def compressed_size(content: bytes) -> int:
    """Bytes that travel: the size under xz (preset 6; above 4 MiB preset 0, within a per cent of it on weights)."""
    preset = 6 if len(content) <= _MOST_BYTES_FOR_BEST_EFFORT else 0
    return len(lzma.compress(content, preset=preset))


def saturates(machine: str, flags: str) -> bool:
    """Whether sums of uint8 times int8 overflow 16 bits on this CPU, so that weights must do with 7 bits.

    >>> saturates("x86_64", "sse4_2 avx2"), saturates("x86_64", "avx2 avx512_vnni"), saturates("aarch64", "asimd")
    (True, False, False)
    """
    return machine in ("x86_64", "AMD64", "i686") and not {"avx512_vnni", "avx_vnni"} & set(flags.split())


def _quantized(network: onnx.ModelProto, reader: CalibrationReader | None, folder: Path) -> onnx.ModelProto:
    source, prepared, result = folder / "network.onnx", folder / "prepared.onnx", folder / "quantized.onnx"
    bare = onnx.ModelProto()
    bare.CopyFrom(network)
    del bare.graph.value_info[:]  # quantize_dynamic fails on those that torch 2.13 writes
    onnx.save(bare, source)
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    reduce_range = saturates(platform.machine(), _cpu_flags())
    if reader is None:
        quantize_dynamic(prepared, result, weight_type=QuantType.QInt8, reduce_range=reduce_range)
    else:
        quantize_static(
            prepared,
            result,
            reader,
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=reduce_range,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=_operators(network),
        )
    return onnx.load(result)


def _operators(network: onnx.ModelProto) -> list[str] | None:
    """What static turns to int8: in image networks everything between convolutions too, elsewhere the products.

    Residual sums and pools in float would cost a conversion at both sides; norms and softmax in int8 cost accuracy
    (1.5 points on a Transformer).
    """
    types = {node.op_type for node in network.graph.node}
    return None if "Conv" in types and not types & {"Gather", "Softmax", "LSTM", "GRU"} else _PRODUCTS


def _canonical(quantized: onnx.ModelProto, network: onnx.ModelProto) -> onnx.ModelProto:
    """Without what the quantizer notes about itself, and with the opsets that are used."""
    used = {node.domain for node in quantized.graph.node}
    opsets = sorted((entry.domain, entry.version) for entry in quantized.opset_import if entry.domain in used)
    del quantized.opset_import[:]
    quantized.opset_import.extend(onnx.helper.make_opsetid(*each) for each in opsets)
    del quantized.metadata_props[:]
    del quantized.graph.value_info[:]
    quantized.producer_name, quantized.producer_version = network.producer_name, network.producer_version
    quantized.graph.name = network.graph.name
    quantized.ir_version = network.ir_version
    return quantized


def _cpu_flags() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    return next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")


@contextmanager
def _quiet() -> Iterator[None]:
    """Holds back what the quantizer tells the root logger, which would otherwise also be set up by that."""
    root, sink = logging.getLogger(), logging.NullHandler()

    def is_not_the_quantizers(record: logging.LogRecord) -> bool:
        return "onnxruntime" not in Path(record.pathname).parts

    root.addHandler(sink)
    root.addFilter(is_not_the_quantizers)  # one of its own for each call: mapped tasks run in threads
    try:
        yield
    finally:
        root.removeFilter(is_not_the_quantizers)
        root.removeHandler(sink)
