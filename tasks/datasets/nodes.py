"""The ONNX nodes that encode numbers, categories, images and text: one function each, from raw tensor to `encoded`."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tasks.contracts.schema import CategoryEncoding, Encoding, Feature, ImageEncoding, NumberEncoding, TextEncoding

Pair = tuple[Feature, NumberEncoding | CategoryEncoding | ImageEncoding | TextEncoding]
PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2


class Nodes:
    """Nodes and constants under construction, each named by what it makes.

    All names begin with a prefix that no column of the user's begins with.
    """

    def __init__(self, columns: Sequence[str] = ()) -> None:
        """Starts empty; `columns` are the names already taken."""
        self._prefix = "encode/"
        while any(name.startswith(self._prefix) for name in columns):
            self._prefix = f"_{self._prefix}"
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: Sequence[str], output: str, *more: str, **attributes: Any) -> str:
        """Adds an operator; gives the full name of its first output."""
        made = [f"{self._prefix}{name}" for name in (output, *more)]
        self.nodes.append(helper.make_node(operator, list(inputs), made, name=made[0], **attributes))
        return made[0]

    def constant(self, name: str, value: Any, kind: type[np.generic] = np.float32) -> str:
        """Adds a constant; gives its full name."""
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=kind), f"{self._prefix}{name}"))
        return f"{self._prefix}{name}"


def add_features(nodes: Nodes, features: Sequence[Feature], encoding: Encoding) -> None:
    """Whatever these features need, from their tensors (see `signature_of`) to `encoded`."""
    pairs: list[Pair] = list(zip(features, encoding.features, strict=True))
    match encoding.features[0]:
        case TextEncoding() as text:
            made = _add_text(nodes, text)
        case ImageEncoding() as image:
            made = _add_image(nodes, features[0], image)
        case _ if all(feature.kind == "number" for feature in features):
            made = _add_numbers(nodes, "features", "numbers", pairs)
        case _:
            made = _add_columns(nodes, pairs)
    nodes.nodes.append(helper.make_node("Identity", [made], ["encoded"], name="encode/encoded"))


def add_words(nodes: Nodes, text: str) -> str:
    """Text (N,) to lower-case words (N, T), padded with ''."""
    lower = nodes.add("StringNormalizer", [text], "lower", case_change_action="LOWER", locale="C")
    return nodes.add("StringSplit", [lower], "words", "counts")


def _add_text(nodes: Nodes, encoding: TextEncoding) -> str:
    """Text (N,) to token ids (N, L)."""
    known = {"": PADDING} | {word: place for place, word in enumerate(encoding.words, start=FIRST_WORD)}
    ids = nodes.add(
        "LabelEncoder",
        [add_words(nodes, "text")],
        "ids",
        domain="ai.onnx.ml",
        keys_strings=list(known),
        values_int64s=list(known.values()),
        default_int64=UNKNOWN,
    )
    pads = nodes.constant("pads", [0, 0, 0, encoding.length], np.int64)
    padded = nodes.add("Pad", [ids, pads, nodes.constant("padding", PADDING, np.int64)], "padded")
    first, end = nodes.constant("first", [0], np.int64), nodes.constant("length", [encoding.length], np.int64)
    return nodes.add("Slice", [padded, first, end, nodes.constant("axis", [1], np.int64)], "cut")


def _add_image(nodes: Nodes, feature: Feature, encoding: ImageEncoding) -> str:
    """Images uint8 (N, H, W) or (N, H, W, C) to floats (N, C, H, W)."""
    last = nodes.add("Cast", ["image"], "pixels", to=onnx.TensorProto.FLOAT)
    if len(feature.shape) == 2:
        last = nodes.add("Unsqueeze", [last, nodes.constant("channel_axis", [1], np.int64)], "channels_first")
    else:
        last = nodes.add("Transpose", [last], "channels_first", perm=[0, 3, 1, 2])
    mean, scale = np.reshape(encoding.mean, (1, -1, 1, 1)), np.reshape(encoding.scale, (1, -1, 1, 1))
    # (x / 255 - mean) / scale as one product and one sum.
    last = nodes.add("Mul", [last, nodes.constant("slope", 1 / (255 * scale))], "scaled")
    return nodes.add("Add", [last, nodes.constant("offset", -mean / scale)], "shifted")


def _add_numbers(nodes: Nodes, source: str, made: str, pairs: Sequence[Pair]) -> str:
    """Numbers (N, D) to standardised numbers (N, D); a refused NaN stays NaN, so it cannot pass for an answer."""
    scales = [encoding for _, encoding in pairs if isinstance(encoding, NumberEncoding)]
    if any(feature.nullable for feature, _ in pairs):
        fill = [e.mean if f.nullable else np.nan for (f, _), e in zip(pairs, scales, strict=True)]
        missing = nodes.add("IsNaN", [source], f"{made}/missing")
        source = nodes.add("Where", [missing, nodes.constant(f"{made}/fill", fill), source], f"{made}/filled")
    mean = nodes.constant(f"{made}/mean", [encoding.mean for encoding in scales])
    scale = nodes.constant(f"{made}/scale", [encoding.scale for encoding in scales])
    return nodes.add("Div", [nodes.add("Sub", [source, mean], f"{made}/centred"), scale], made)


def _add_columns(nodes: Nodes, pairs: Sequence[Pair]) -> str:
    """A tensor (N,) a column, numbers and strings, to (N, D); neighbouring numbers go as one matrix."""
    axis = nodes.constant("column_axis", [1], np.int64)
    made = []
    for is_number, group in groupby(enumerate(pairs), key=lambda placed: placed[1][0].kind == "number"):
        columns = list(group)
        if is_number:
            block = f"numbers/{columns[0][0]}"
            wide = [nodes.add("Unsqueeze", [pair[0].name, axis], f"column/{place}") for place, pair in columns]
            raw = nodes.add("Concat", wide, f"{block}/raw", axis=1)
            made.append(_add_numbers(nodes, raw, block, [pair for _, pair in columns]))
        else:
            made += [_add_category(nodes, place, pair) for place, pair in columns]
    return nodes.add("Concat", made, "columns", axis=1)


def _add_category(nodes: Nodes, place: int, pair: Pair) -> str:
    """Strings (N,) to one-hot rows (N, K); an unknown value gets index K, which OneHot turns into zeros."""
    feature, encoding = pair
    values = list(encoding.values) if isinstance(encoding, CategoryEncoding) else []
    index = nodes.add(
        "LabelEncoder",
        [feature.name],
        f"index/{place}",
        domain="ai.onnx.ml",
        keys_strings=values,
        values_int64s=list(range(len(values))),
        default_int64=len(values),
    )
    depth = nodes.constant(f"depth/{place}", len(values), np.int64)
    off_on = nodes.constant(f"off_on/{place}", [0, 1])
    return nodes.add("OneHot", [index, depth, off_on], f"one_hot/{place}", axis=-1)
