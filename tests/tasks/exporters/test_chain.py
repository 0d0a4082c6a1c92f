"""From schema and encoding to answers: every part that makes a published graph, held against torch."""

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tasks.compressors.channels import prune_channels
from tasks.compressors.quantizer import quantize
from tasks.contracts.artifacts import Architecture
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
from tasks.datasets.preprocessing import build_preprocessor, encode, encoded_shape, vocabulary_size
from tasks.exporters import parity
from tasks.exporters.onnx_graph import assemble, export_network
from tasks.models import zoo

torch.set_num_threads(1)
random = np.random.default_rng(0)
ROWS = 40


def strings(*values) -> np.ndarray:
    return np.array(values, dtype=object)


NUMBERS = Schema(
    task="classification",
    features=tuple(Feature(name=f"x{i}", kind="number", nullable=i == 0) for i in range(5)),
    target="y",
    labels=(0, 1, 2),
)
NUMBERS_ENCODING = Encoding(features=tuple(NumberEncoding(mean=float(i), scale=1.0 + i) for i in range(5)))
FEATURES = random.normal(size=(ROWS, 5)).astype(np.float32) * 5
FEATURES[3, 0] = np.nan

MIXED = Schema(
    task="regression",
    features=(
        Feature(name="rooms", kind="number", nullable=True),
        Feature(name="near", kind="category", nullable=True),
        Feature(name="age", kind="number"),
    ),
    target="price",
)
MIXED_ENCODING = Encoding(
    features=(
        NumberEncoding(mean=5.0, scale=2.0),
        CategoryEncoding(values=("", "bay", "sea side")),
        NumberEncoding(mean=30.0, scale=10.0),
    ),
    target=NumberEncoding(mean=200_000.0, scale=100_000.0),
)
MIXED_ROWS = {
    "rooms": np.where(np.arange(ROWS) % 7, random.normal(5, 2, ROWS), np.nan).astype(np.float32),
    "near": np.resize(strings("bay", "sea side", "", "unheard of"), ROWS),
    "age": random.normal(30, 10, ROWS).astype(np.float32),
}

GREY = Schema(
    task="classification",
    features=(Feature(name="pixels", kind="image", shape=(8, 8)),),
    target="digit",
    labels=tuple(range(10)),
)
COLOUR = Schema(
    task="classification",
    features=(Feature(name="photo", kind="image", shape=(8, 9, 3)),),
    target="pet",
    labels=("cat", "dog"),
)
TEXT = Schema(
    task="classification",
    features=(Feature(name="question", kind="text"),),
    target="about",
    labels=("HUM", "LOC", "NUM"),
)
TEXT_ENCODING = Encoding(features=(TextEncoding(words=("who", "where", "is", "how", "many"), length=6),))
QUESTIONS = np.resize(
    strings("Who is it", "WHERE", "", "how many are there of them in all", "is is is", " who  where "), ROWS
)


def grey() -> np.ndarray:
    return random.integers(0, 256, size=(ROWS, 8, 8), dtype=np.uint8)


GREY_ENCODING = Encoding(features=(ImageEncoding(mean=(0.4,), scale=(0.3,)),))
COLOUR_ENCODING = Encoding(features=(ImageEncoding(mean=(0.4, 0.5, 0.6), scale=(0.3, 0.2, 0.1)),))
COLOURS = random.integers(0, 256, size=(ROWS, 8, 9, 3), dtype=np.uint8)

CASES = {
    "mlp on numbers": (NUMBERS, NUMBERS_ENCODING, {"features": FEATURES}, "mlp", "cross_entropy"),
    "transformer on numbers": (NUMBERS, NUMBERS_ENCODING, {"features": FEATURES}, "transformer", "cross_entropy"),
    "mlp on mixed columns": (MIXED, MIXED_ENCODING, MIXED_ROWS, "mlp", "mse"),
    "gru on mixed columns": (MIXED, MIXED_ENCODING, MIXED_ROWS, "rnn", "mse"),
    "cnn on grey images": (GREY, GREY_ENCODING, {"image": grey()}, "cnn", "cross_entropy"),
    "resnet on colour images": (COLOUR, COLOUR_ENCODING, {"image": COLOURS}, "resnet", "bce"),
    "linear on text": (TEXT, TEXT_ENCODING, {"text": QUESTIONS}, "linear", "cross_entropy"),
    "cnn on text": (TEXT, TEXT_ENCODING, {"text": QUESTIONS}, "cnn", "cross_entropy"),
    "lstm on text": (TEXT, TEXT_ENCODING, {"text": QUESTIONS}, "rnn", "cross_entropy"),
    "transformer on text": (TEXT, TEXT_ENCODING, {"text": QUESTIONS}, "transformer", "cross_entropy"),
}
CUT = ("mlp on mixed columns", "resnet on colour images", "transformer on text")


def network_for(schema, encoding, family, loss, cell="lstm"):
    architecture = Architecture(
        family=family,
        input_shape=encoded_shape(schema, encoding),
        output_size=len(schema.labels) if loss == "cross_entropy" else 1,
        hidden_sizes=(32, 16),
        dropout=0.2,
        cell=cell,
        vocabulary_size=vocabulary_size(encoding),
    )
    return zoo.build(architecture, seed=1)


def run(content: bytes, inputs) -> dict[str, np.ndarray]:
    """On ONNX Runtime as anybody has it, with nothing of ours."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def assert_same(found, expected, tolerance):
    assert list(found) == list(expected)
    for name in found:
        if name == "label":
            assert found[name].tolist() == expected[name].tolist()
        else:
            assert found[name].shape == expected[name].shape
            assert found[name].dtype == np.float32
            np.testing.assert_allclose(found[name], expected[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_raw_rows_on_plain_onnx_runtime_get_torchs_answers(name):
    schema, encoding, raw, family, loss = CASES[name]
    module = network_for(schema, encoding, family, loss, "gru" if "gru" in name else "lstm")
    preprocessor = build_preprocessor(schema, encoding)
    encoded = encode(preprocessor, raw)
    if name in CUT:
        module, _ = prune_channels(module, encoded, 0.5)
    network = export_network(module, encoded, 20)
    parity.sweep(network, module, encoded)
    expected = parity.torch_answers(module, encoded, schema, encoding, loss)
    for scheme in ("none", "dynamic", "static"):
        quantized = quantize(network, scheme, encoded)
        content = assemble(preprocessor, quantized, schema, encoding, loss).SerializeToString(deterministic=True)
        found = run(content, raw)
        if scheme == "none":
            assert_same(found, expected, 1e-5)
        alike = parity.agreement(found, expected, encoding)
        assert alike.largest_difference < 0.1
        single = run(content, {key: values[:1] for key, values in raw.items()})
        assert [values.shape for values in single.values()] == [(1, *values.shape[1:]) for values in found.values()]


def test_the_whole_graph_is_the_same_bytes_every_time_and_asks_for_what_the_signature_says():
    schema, encoding, raw, family, loss = CASES["mlp on mixed columns"]
    module = network_for(schema, encoding, family, loss)

    def whole() -> onnx.ModelProto:
        preprocessor = build_preprocessor(schema, encoding)
        network = export_network(module, encode(preprocessor, raw), 20)
        return assemble(preprocessor, quantize(network, "dynamic"), schema, encoding, loss)

    model = whole()
    assert model.SerializeToString(deterministic=True) == whole().SerializeToString(deterministic=True)
    assert [value.name for value in model.graph.input] == [tensor.name for tensor in signature_of(schema).inputs]
    assert [value.name for value in model.graph.output] == [tensor.name for tensor in signature_of(schema).outputs]


def test_a_script_with_nothing_of_ours_runs_the_file(tmp_path):
    schema, encoding, raw, family, loss = CASES["linear on text"]
    preprocessor = build_preprocessor(schema, encoding)
    network = export_network(network_for(schema, encoding, family, loss), encode(preprocessor, raw), 20)
    path = tmp_path / "model.onnx"
    path.write_bytes(assemble(preprocessor, network, schema, encoding, loss).SerializeToString(deterministic=True))
    program = (
        "import sys, numpy, onnxruntime;"
        "session = onnxruntime.InferenceSession(sys.argv[1]);"
        "label, probabilities = session.run(None, {'text': numpy.array(['Who is it', ''], dtype=object)});"
        "assert 'torch' not in sys.modules and 'tasks' not in sys.modules;"
        "print(label.tolist(), probabilities.sum(1).round(5).tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"LC_ALL": "C", "PATH": ""},  # a slim image has no other locale
    )
    expected = run(path.read_bytes(), {"text": strings("Who is it", "")})["label"].tolist()
    assert done.stdout.strip() == f"{expected} [1.0, 1.0]"
