"""From raw rows to the tensor a network sees: an ONNX graph, the only implementation of preprocessing there is.

Standard operators alone, so any ONNX Runtime runs it. Training data are encoded by running this very graph, and so
are served requests: what it does, it does in both. Two things about its text are worth knowing. Words are split at the
space character alone, not at tabs or line ends. Lower-casing is that of the locale "C" (the only one on slim images),
which changes A to Z and leaves all other letters alone: 'ÅNGSTRÖM' becomes 'ÅngstrÖm'.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import onnx
from onnx import TensorProto, helper

from tasks.contracts.errors import ConfigError
from tasks.contracts.schema import CategoryEncoding, Encoding, ImageEncoding, Schema, TextEncoding
from tasks.contracts.signature import signature_of
from tasks.datasets.nodes import FIRST_WORD, Nodes, add_features, add_words
from tasks.runtime.session import Session, load
from tasks.runtime.slices import cuts_of, run_in_slices

IR_VERSION = 10
"""What ONNX Runtime 1.18 and later read; none of these operators needs a newer one."""
ML_OPSET = 4
FIRST_TEXT_OPSET = 20
"""StringSplit came with this one."""
ELEMENTS = {
    "FP32": TensorProto.FLOAT,
    "INT64": TensorProto.INT64,
    "UINT8": TensorProto.UINT8,
    "BYTES": TensorProto.STRING,
}


def build_preprocessor(schema: Schema, encoding: Encoding, opset: int = 20) -> onnx.ModelProto:
    """The graph for these rows, with the same bytes whenever it is built.

    Inputs are those of `signature_of(schema)`. The one output, `encoded`, is float32 (N, D) for tables, float32
    (N, C, H, W) for images, and int64 (N, L) for text.

    Raises:
        ConfigError: if the opset is too old for text.
    """
    if schema.kind == "text" and opset < FIRST_TEXT_OPSET:
        raise ConfigError(
            f"export.opset is {opset}, but must be at least {FIRST_TEXT_OPSET} for text: set export.opset to 20"
        )
    tensors = signature_of(schema).inputs
    nodes = Nodes([tensor.name for tensor in tensors])
    add_features(nodes, schema.features, encoding)
    inputs = [
        helper.make_tensor_value_info(tensor.name, ELEMENTS[tensor.datatype], ["N", *tensor.shape[1:]])
        for tensor in tensors
    ]
    kind = TensorProto.INT64 if schema.kind == "text" else TensorProto.FLOAT
    output = helper.make_tensor_value_info("encoded", kind, ["N", *encoded_shape(schema, encoding)])
    return _model(helper.make_graph(nodes.nodes, "preprocessing", inputs, [output], nodes.constants), opset)


def encoded_shape(schema: Schema, encoding: Encoding) -> tuple[int, ...]:
    """The shape of one encoded row: (D,), (C, H, W) or (L,)."""
    first = encoding.features[0]
    if isinstance(first, TextEncoding):
        return (first.length,)
    if isinstance(first, ImageEncoding):
        height, width, *_ = schema.features[0].shape
        return (len(first.mean), height, width)
    return (sum(len(e.values) if isinstance(e, CategoryEncoding) else 1 for e in encoding.features),)


def vocabulary_size(encoding: Encoding) -> int:
    """How many token ids there are: the words, padding and unknown; 0 if the rows are no text."""
    first = encoding.features[0]
    return len(first.words) + FIRST_WORD if isinstance(first, TextEncoding) else 0


def encode(preprocessor: onnx.ModelProto | bytes, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Every row as the network sees it, by running the graph on ONNX Runtime in bounded batches.

    Args:
        preprocessor: What `build_preprocessor` gave, or its bytes.
        inputs: One array a graph input, the batch first; strings as arrays of str.
    """
    content = preprocessor if isinstance(preprocessor, bytes) else preprocessor.SerializeToString(deterministic=True)
    session = load(content)
    if not len(next(iter(inputs.values()))):  # StringNormalizer refuses an empty batch
        (encoded,) = session.outputs
        return np.empty((0, *encoded.shape[1:]), np.int64 if encoded.datatype == "INT64" else np.float32)
    return run_in_slices(session, inputs)["encoded"]


def tokens(texts: Sequence[str] | np.ndarray) -> list[list[str]]:
    """The words of each text, as the graph sees them."""
    if not len(texts):
        return []
    array, tokenizer = np.asarray(texts, dtype=object), _tokenizer()
    found: list[list[str]] = []
    for start, end in pairwise(cuts_of({"text": array})):
        (padded,) = tokenizer.run({"text": array[start:end]}).values()
        found += [[word for word in row if word] for row in padded]
    return found


@lru_cache(maxsize=1)
def _tokenizer() -> Session:
    nodes = Nodes()
    words = helper.make_tensor_value_info(add_words(nodes, "text"), TensorProto.STRING, ["N", "T"])
    text = helper.make_tensor_value_info("text", TensorProto.STRING, ["N"])
    graph = helper.make_graph(nodes.nodes, "tokens", [text], [words])
    return load(_model(graph, FIRST_TEXT_OPSET).SerializeToString())


def _model(graph: onnx.GraphProto, opset: int) -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    return helper.make_model(graph, producer_name="ingot", opset_imports=opsets, ir_version=IR_VERSION)
