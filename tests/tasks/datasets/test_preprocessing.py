from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.contracts.errors import ConfigError
from tasks.contracts.schema import (
    CategoryEncoding,
    Encoding,
    Feature,
    ImageEncoding,
    NumberEncoding,
    Schema,
    TextEncoding,
)
from tasks.contracts.signature import signature_of
from tasks.datasets.encoding import LEAST_SCALE
from tasks.datasets.preprocessing import build_preprocessor, encode, encoded_shape, tokens, vocabulary_size

ASCII_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
words = st.text(st.characters(blacklist_categories=("Cs",)), max_size=12)
sentences = st.one_of(words, st.lists(words, max_size=9).map(" ".join), st.lists(words, max_size=4).map("  ".join))


def schema_of(*features: Feature) -> Schema:
    return Schema(task="classification", features=features, target="label", labels=(0, 1))


def text_schema(*known: str, length: int = 5) -> tuple[Schema, Encoding]:
    return schema_of(Feature(name="message", kind="text")), Encoding(
        features=(TextEncoding(words=known, length=length),)
    )


def by_hand(text: str, encoding: TextEncoding) -> list[int]:
    """The reference: ASCII lower case, split at spaces, ids from 2, cut and padded."""
    ids = {word: place for place, word in enumerate(encoding.words, start=2)}
    found = [ids.get(word, 1) for word in text.translate(ASCII_LOWER).split(" ") if word][: encoding.length]
    return found + [0] * (encoding.length - len(found))


def strings(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


@given(st.lists(sentences, min_size=1, max_size=8), st.lists(words, max_size=6, unique=True), st.integers(1, 12))
def test_text_is_what_a_tokenizer_by_hand_gives(texts: list[str], known: list[str], length: int) -> None:
    known = list(
        dict.fromkeys(w.translate(ASCII_LOWER).replace(" ", "") for w in [*known, *" ".join(texts).split(" ")[:3]])
    )
    schema, encoding = text_schema(*(word for word in known if word), length=length)
    text = encoding.features[0]
    assert isinstance(text, TextEncoding)
    expected = [by_hand(one, text) for one in texts]
    assert encode(build_preprocessor(schema, encoding), {"text": strings(*texts)}).tolist() == expected


@given(st.lists(sentences, min_size=1, max_size=8))
def test_tokens_are_those_of_the_graph(texts: list[str]) -> None:
    assert tokens(texts) == [[word for word in text.translate(ASCII_LOWER).split(" ") if word] for text in texts]


def test_text_of_one_empty_row_is_padding() -> None:
    schema, encoding = text_schema("a", length=4)
    model = build_preprocessor(schema, encoding)
    assert encode(model, {"text": strings("")}).tolist() == [[0, 0, 0, 0]]
    assert encode(model, {"text": strings("", "   ")}).tolist() == [[0, 0, 0, 0]] * 2
    assert encode(model, {"text": strings()}).shape == (0, 4)


def test_only_ascii_letters_are_lowered() -> None:
    assert tokens(["ÅNGSTRÖM İSTANBUL Straße ΣΊΣΥΦΟΣ 東京 \U0001d518B"]) == [
        ["ÅngstrÖm", "İstanbul", "straße", "ΣΊΣΥΦΟΣ", "東京", "\U0001d518b"]
    ]


def test_tabs_and_line_ends_are_no_blanks() -> None:
    assert tokens(["a\tb c\nd\u00a0e"]) == [["a\tb", "c\nd\u00a0e"]]


def test_one_very_long_text_costs_no_memory_for_the_others() -> None:
    schema, encoding = text_schema("x", length=4)
    texts = strings(*["x y"] * 3000, "x " * 300_000, *["y x"] * 3000)
    got = encode(build_preprocessor(schema, encoding), {"text": texts})
    assert got[0].tolist() == [2, 1, 0, 0] and got[3000].tolist() == [2] * 4 and got[-1].tolist() == [1, 2, 0, 0]
    assert got.shape == (6001, 4)


@given(
    st.integers(1, 5).flatmap(
        lambda width: st.lists(
            st.lists(st.floats(-1e6, 1e6, width=32), min_size=width, max_size=width), min_size=2, max_size=30
        )
    )
)
def test_numbers_are_what_scikit_learn_standardises(rows: list[list[float]]) -> None:
    scaler_of = pytest.importorskip("sklearn.preprocessing").StandardScaler
    x = np.array(rows, dtype=np.float32)
    scaler = scaler_of().fit(x.astype(np.float64))
    assume((scaler.scale_ > LEAST_SCALE).all())  # a smaller one is never fitted, see test_encoding
    features = [Feature(name=f"x{i}", kind="number") for i in range(x.shape[1])]
    scales = [NumberEncoding(mean=m, scale=s) for m, s in zip(scaler.mean_, scaler.scale_, strict=True)]
    got = encode(build_preprocessor(schema_of(*features), Encoding(features=tuple(scales))), {"features": x})
    # float32 in the graph: an error of one part in 2^24 of the largest value, over the scale.
    slack = np.abs(x).max(axis=0) / scaler.scale_ * 2**-22 + 1e-6
    assert (np.abs(got - scaler.transform(x.astype(np.float64))) <= slack).all()


def test_a_missing_number_is_the_mean_only_where_it_may_be_missing() -> None:
    features = [Feature(name="a", kind="number", nullable=True), Feature(name="b", kind="number")]
    encoding = Encoding(features=(NumberEncoding(mean=5, scale=2), NumberEncoding(mean=5, scale=2)))
    got = encode(build_preprocessor(schema_of(*features), encoding), {"features": np.full((1, 2), np.nan, np.float32)})
    assert got[0, 0] == 0 and np.isnan(got[0, 1])


@given(st.lists(words, min_size=1, max_size=20), st.lists(words, max_size=10))
def test_categories_are_what_scikit_learn_encodes(seen: list[str], asked: list[str]) -> None:
    encoder_of = pytest.importorskip("sklearn.preprocessing").OneHotEncoder
    column = strings(*asked, *seen[:2])
    encoder = encoder_of(handle_unknown="ignore", sparse_output=False).fit(strings(*seen).reshape(-1, 1))
    encoding = CategoryEncoding(values=tuple(encoder.categories_[0]))
    model = build_preprocessor(schema_of(Feature(name="city", kind="category")), Encoding(features=(encoding,)))
    assert encode(model, {"city": column}).tolist() == encoder.transform(column.reshape(-1, 1)).tolist()


def mixed() -> tuple[Schema, Encoding]:
    schema = schema_of(
        Feature(name="age", kind="number", nullable=True),
        Feature(name="city å", kind="category", nullable=True),
        Feature(name="encode/columns", kind="number"),
        Feature(name="height", kind="number"),
        Feature(name="kind", kind="category"),
    )
    encoding = Encoding(
        features=(
            NumberEncoding(mean=40, scale=10),
            CategoryEncoding(values=("", "Oslo", "Århus")),
            NumberEncoding(mean=0, scale=1),
            NumberEncoding(mean=100, scale=50),
            CategoryEncoding(values=("x",)),
        )
    )
    return schema, encoding


def test_mixed_columns_keep_the_order_of_the_schema() -> None:
    schema, encoding = mixed()
    inputs = {
        "age": np.array([50, np.nan], np.float32),
        "city å": strings("Århus", ""),
        "encode/columns": np.array([7, 8], np.float32),
        "height": np.array([200, 50], np.float32),
        "kind": strings("x", "never seen"),
    }
    model = build_preprocessor(schema, encoding)
    assert encode(model, inputs).tolist() == [[1, 0, 0, 1, 7, 2, 1], [0, 1, 0, 0, 8, -1, 0]]
    assert encoded_shape(schema, encoding) == (7,)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 1), (6, 4, 3)])
def test_images_are_what_numpy_makes_of_them(shape: tuple[int, ...]) -> None:
    channels = shape[2] if len(shape) == 3 else 1
    images = np.random.default_rng(0).integers(0, 256, (5, *shape), dtype=np.uint8)
    mean, scale = tuple(0.1 + 0.2 * np.arange(channels)), tuple(0.3 + 0.1 * np.arange(channels))
    schema, encoding = (
        schema_of(Feature(name="i", kind="image", shape=shape)),
        Encoding(features=(ImageEncoding(mean=mean, scale=scale),)),
    )
    expected = (images.reshape(5, 6, 4, channels) / 255 - mean) / scale
    got = encode(build_preprocessor(schema, encoding), {"image": images})
    assert encoded_shape(schema, encoding) == got.shape[1:] == (channels, 6, 4)
    np.testing.assert_allclose(got, expected.transpose(0, 3, 1, 2), atol=1e-5)


def every_kind() -> list[Any]:
    image = (
        schema_of(Feature(name="i", kind="image", shape=(3, 3))),
        Encoding(features=(ImageEncoding(mean=(0.5,), scale=(0.5,)),)),
    )
    number = schema_of(Feature(name="a", kind="number")), Encoding(features=(NumberEncoding(mean=0, scale=1),))
    return [pytest.param(*pair, id=name) for name, pair in
            {"image": image, "numbers": number, "mixed": mixed(), "text": text_schema("a", "b")}.items()]  # fmt: skip


@pytest.mark.parametrize(("schema", "encoding"), every_kind())
def test_inputs_are_those_of_the_signature(schema: Schema, encoding: Encoding) -> None:
    kinds = {"FP32": onnx.TensorProto.FLOAT, "UINT8": onnx.TensorProto.UINT8, "BYTES": onnx.TensorProto.STRING}
    model = build_preprocessor(schema, encoding)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == [tensor.name for tensor in signature_of(schema).inputs]
    for value, tensor in zip(model.graph.input, signature_of(schema).inputs, strict=True):
        assert value.type.tensor_type.elem_type == kinds[tensor.datatype]
        sizes = [axis.dim_value or -1 for axis in value.type.tensor_type.shape.dim]
        assert tuple(sizes) == tensor.shape
    assert [value.name for value in model.graph.output] == ["encoded"]
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx.ml"}


@pytest.mark.parametrize(("schema", "encoding"), every_kind())
def test_the_same_encoding_gives_the_same_bytes(schema: Schema, encoding: Encoding, tmp_path: Path) -> None:
    first, second = (build_preprocessor(schema, encoding).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second and str(Path.cwd()).encode() not in first


@pytest.mark.parametrize("opset", [18, 19, 20, 21, 22, 23])
@pytest.mark.parametrize(("schema", "encoding"), every_kind()[:3])
def test_every_opset_of_the_form_runs(schema: Schema, encoding: Encoding, opset: int) -> None:
    zeros = {"FP32": np.float32, "UINT8": np.uint8, "BYTES": object}
    inputs = {
        tensor.name: np.full((3, *tensor.shape[1:]), "" if tensor.datatype == "BYTES" else 0, zeros[tensor.datatype])
        for tensor in signature_of(schema).inputs
    }
    assert encode(build_preprocessor(schema, encoding, opset), inputs).shape == (3, *encoded_shape(schema, encoding))


def test_refuses_text_before_opset_20() -> None:
    schema, encoding = text_schema("a")
    with pytest.raises(
        ConfigError, match="export.opset is 19, but must be at least 20 for text: set export.opset to 20"
    ):
        build_preprocessor(schema, encoding, opset=19)
    assert build_preprocessor(schema, encoding, opset=23).opset_import[0].version == 23


def test_batches_make_no_difference() -> None:
    schema = schema_of(Feature(name="a", kind="number"))
    encoding = Encoding(features=(NumberEncoding(mean=3, scale=2),))
    x = np.arange(10_000, dtype=np.float32).reshape(-1, 1)
    np.testing.assert_allclose(encode(build_preprocessor(schema, encoding), {"features": x}), (x - 3) / 2)


def test_vocabulary_counts_padding_and_unknown() -> None:
    assert vocabulary_size(text_schema("a", "b")[1]) == 4
    assert vocabulary_size(mixed()[1]) == 0
