"""Weights in 4 bits, in blocks with a scale and a zero each; activations stay in float.

It pays in bytes: 7 times fewer for a large matrix, where int8 has 4. Only large products with constant weights
qualify, and word vectors; a matrix of few rows would spend on scales what it saves. Nothing is calibrated.

Source: round to nearest in blocks, as in Dettmers and Zettlemoyer 2022, The case for 4-bit precision, section 2
(arXiv 2212.09720); the operators are MatMulNBits and GatherBlockQuantized of ONNX Runtime.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnxruntime.quantization import QuantFormat

from tasks.compressors.number_format import bare, canonical, one_error

BLOCKS = (32, 64, 128)
"""Weights that share a scale; the runtime takes powers of two from 16."""
LEAST_ROWS = 32
"""A matrix of fewer rows than one block stays in float."""
LEAST_WEIGHTS = 2048
"""A smaller matrix stays in float: its node's attributes would weigh as much as the bits that it saves."""
_SUMS_IN_INT8 = 4
"""The runtime rounds activations to int8 block by block: a row takes half the time of sums in float."""
_LEAST_OPSET = 21
"""Standard tensors of 4 bits, which word vectors are kept in, came with it."""


def quantize_weights(network: onnx.ModelProto, *, block_size: int | None = None) -> onnx.ModelProto:
    """The network with large weights in 4 bits; the network itself where none is large.

    Args:
        network: From `encoded` to `logits`; stays as it is.
        block_size: Weights that share a scale; None takes for each matrix what makes it smallest.

    Raises:
        GraphError: If the quantizer cannot read the network.
    """
    model = bare(network)
    _split_products(model.graph)
    with one_error("int4"):
        for size, (products, vectors) in _by_block(model.graph, block_size).items():
            if vectors:
                _raise_opset(model)
            model = _in_blocks(model, size, "MatMul", products)
            model = _in_blocks(model, size, "Gather", vectors)
    return canonical(model, network, "int4")


def block_of(rows: int) -> int:
    """The block that makes a column of so many weights smallest: packed bits, scales and zeros.

    >>> block_of(32), block_of(784), block_of(1024)
    (32, 64, 128)
    """
    return min(BLOCKS, key=lambda size: -(-rows // size) * (size / 2 + 4 + 0.5))


def _by_block(graph: onnx.GraphProto, block_size: int | None) -> dict[int, tuple[list[str], list[str]]]:
    """Block size to the products and the word vectors, by the names of their nodes, that are large enough for it."""
    weights = {each.name: tuple(each.dims) for each in graph.initializer if each.data_type == TensorProto.FLOAT}
    found: dict[int, tuple[list[str], list[str]]] = {}
    for node in graph.node:
        is_product, is_lookup = node.op_type == "MatMul", node.op_type == "Gather"
        shape = weights.get(node.input[1 if is_product else 0], ()) if is_product or is_lookup else ()
        if len(shape) == 2 and shape[0] * shape[1] >= LEAST_WEIGHTS:
            length = shape[0] if is_product else shape[1]
            if length >= LEAST_ROWS:
                products, vectors = found.setdefault(block_size or block_of(length), ([], []))
                (products if is_product else vectors).append(node.name)
    return found


def _in_blocks(model: onnx.ModelProto, block_size: int, op_type: str, names: list[str]) -> onnx.ModelProto:
    if not names:
        return model
    # Here, where logging is held back: the module sets up the root logger as it is imported.
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    others = [node.name for node in model.graph.node if node.name not in names]
    quantizer = MatMulNBitsQuantizer(
        model,
        block_size=block_size,
        quant_format=QuantFormat.QOperator,
        op_types_to_quantize=(op_type,),
        nodes_to_exclude=others,
        accuracy_level=_SUMS_IN_INT8,
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # of blocks of zeros, which it then sees to
        quantizer.process()
    result: onnx.ModelProto = quantizer.model.model
    return result


def _split_products(graph: onnx.GraphProto) -> None:
    """Gemm with constant weights to MatMul and Add, in place: the quantizer knows products alone."""
    weights = {each.name: each for each in graph.initializer}
    readers = [name for node in graph.node for name in node.input]
    nodes = []
    for node in graph.node:
        factors = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        plain = factors.get("alpha", 1) == factors.get("beta", 1) == 1 and not factors.get("transA", 0)
        matrix = weights.get(node.input[1]) if node.op_type == "Gemm" and plain else None
        if matrix is None or readers.count(matrix.name) > 1:
            nodes.append(node)
            continue
        if factors.get("transB", 0):
            turned = onnx.numpy_helper.to_array(matrix).T.copy()
            matrix.CopyFrom(onnx.numpy_helper.from_array(turned, matrix.name))
        nodes += _product_and_sum(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _product_and_sum(gemm: onnx.NodeProto) -> list[onnx.NodeProto]:
    (output,), (rows, matrix, *bias) = gemm.output, gemm.input
    if not any(bias):
        return [helper.make_node("MatMul", [rows, matrix], [output], gemm.name)]
    product = f"{output}/product"
    return [
        helper.make_node("MatMul", [rows, matrix], [product], gemm.name),
        helper.make_node("Add", [product, *bias], [output], f"{gemm.name}/bias"),
    ]


def _raise_opset(model: onnx.ModelProto) -> None:
    """No operator that the exporter writes changed its meaning between 20 and 21 but GroupNormalization."""
    for entry in model.opset_import:
        if entry.domain == "" and entry.version < _LEAST_OPSET:
            entry.version = _LEAST_OPSET
