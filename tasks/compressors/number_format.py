"""What all passes to fewer bits share: a prepared network in, a canonical one out, and one error for both.

Source of the 7-bit rule: ONNX Runtime's guide "Quantize ONNX models", section on U8S8 and saturation.
"""

import logging
import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from onnxruntime.quantization.quant_utils import model_has_pre_process_metadata
from onnxruntime.quantization.shape_inference import quant_pre_process

from tasks.contracts.errors import GraphError
from tasks.runtime.session import NATIVE_ERRORS

Work = Callable[[Path, Path], object]
"""Reads a prepared network from the first file and writes a quantized one into the second."""

_QUANTIZED = {
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "DynamicQuantizeLSTM",
    "MatMulNBits",
    "GatherBlockQuantized",
}
# What the quantizer raises on graphs it does not know; it has no error of its own.
_ERRORS: tuple[type[Exception], ...] = (*NATIVE_ERRORS, TypeError, LookupError, AttributeError, AssertionError)
_log = logging.getLogger(__name__)


def saturates(machine: str, flags: str) -> bool:
    """Whether sums of uint8 times int8 overflow 16 bits on this CPU, so that weights must do with 7 bits.

    >>> saturates("x86_64", "sse4_2 avx2"), saturates("x86_64", "avx2 avx512_vnni"), saturates("aarch64", "asimd")
    (True, False, False)
    """
    return machine in ("x86_64", "AMD64", "i686") and not {"avx512_vnni", "avx_vnni"} & set(flags.split())


def seven_bits(reduce_range: bool | None = None) -> bool:
    """Whether weights do with 7 bits: as asked, or as this CPU needs it."""
    return saturates(platform.machine(), _cpu_flags()) if reduce_range is None else reduce_range


def prepare(network: onnx.ModelProto) -> onnx.ModelProto:
    """A copy as ONNX Runtime's quantizers want it: norms folded into convolutions, shapes inferred.

    Its nodes have the names that the passes take. One that is prepared already is handed back.

    Raises:
        GraphError: If ONNX Runtime cannot read the network.
    """
    if model_has_pre_process_metadata(network):
        return network
    with one_error("int8"), tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        source, prepared = Path(folder) / "network.onnx", Path(folder) / "prepared.onnx"
        onnx.save(bare(network), source)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        return onnx.load(prepared)


def bare(network: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without inferred shapes: `quantize_dynamic` fails on those that torch 2.13 writes."""
    copy = onnx.ModelProto()
    copy.CopyFrom(network)
    del copy.graph.value_info[:]
    return copy


def rewritten(network: onnx.ModelProto, scheme: str, work: Work) -> onnx.ModelProto:
    """The network as a quantizer leaves it, in canonical form; the network itself where there is nothing to do.

    Args:
        network: From `encoded` to `logits`; stays as it is.
        scheme: What to call the pass in errors.
        work: The quantizer.

    Raises:
        GraphError: If the quantizer cannot read the network.
    """
    with one_error(scheme), tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        source, result = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
        onnx.save(prepare(network), source)
        work(source, result)
        quantized = onnx.load(result)
    return canonical(quantized, network, scheme)


def canonical(quantized: onnx.ModelProto, network: onnx.ModelProto, scheme: str) -> onnx.ModelProto:
    """Without what the quantizer notes about itself, and with the opsets that are used."""
    if not any(node.op_type in _QUANTIZED for node in quantized.graph.node):
        _log.warning("the network has nothing that scheme %s could quantize: it stays in float", scheme)
        return network
    used = {node.domain for node in quantized.graph.node}
    opsets = sorted((entry.domain, entry.version) for entry in quantized.opset_import if entry.domain in used)
    del quantized.opset_import[:]
    quantized.opset_import.extend(onnx.helper.make_opsetid(*each) for each in opsets)
    del quantized.metadata_props[:]
    del quantized.graph.value_info[:]
    quantized.producer_name, quantized.producer_version = network.producer_name, network.producer_version
    quantized.graph.name = network.graph.name
    quantized.ir_version = max(network.ir_version, 10 if _has_four_bits(quantized) else 0)
    return quantized


def _has_four_bits(model: onnx.ModelProto) -> bool:
    """Tensors of 4 bits came with version 10 of the file format."""
    return any(each.data_type in (onnx.TensorProto.UINT4, onnx.TensorProto.INT4) for each in model.graph.initializer)


def _cpu_flags() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    return next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")


@contextmanager
def one_error(scheme: str) -> Iterator[None]:
    """Whatever the quantizer says or raises becomes one sentence."""
    try:
        with _quiet():
            yield
    except _ERRORS as error:
        raise GraphError(
            f"the network cannot be quantized by scheme {scheme}: {' '.join(str(error).split())[:300]}: "
            f"take {scheme!r} out of quantize.schemes"
        ) from error


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
