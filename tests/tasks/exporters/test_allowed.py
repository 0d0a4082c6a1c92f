"""What our exporters and quantizers write passes the vetting that every version meets before it is loaded."""

import pytest

from tasks.compressors.quantizer import quantize
from tasks.contracts.schema import (
    CategoryEncoding,
    Encoding,
    Feature,
    ImageEncoding,
    NumberEncoding,
    Schema,
    TextEncoding,
)
from tasks.datasets.preprocessing import build_preprocessor
from tasks.runtime.vetting import vet_graph

SCHEMES = ["none", "dynamic", "static", "static-all", "static-percentile", "int4"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", ["mlp", "residual", "gru", "attention"])
def test_every_network_under_every_scheme_is_allowed(exported, tmp_path, kind, scheme):
    _, rows, graph = exported(kind)
    path = tmp_path / "model.onnx"
    path.write_bytes(quantize(graph, scheme, rows).SerializeToString())
    assert vet_graph(path).total() > 1


@pytest.mark.parametrize("opset", [20, 22])
def test_what_reads_columns_and_text_is_allowed(tmp_path, opset):
    numbers = (Feature(name="a", kind="number", nullable=True), NumberEncoding(mean=1.0, scale=2.0))
    words = (Feature(name="b", kind="category"), CategoryEncoding(values=("x", "y")))
    text = (Feature(name="t", kind="text"), TextEncoding(words=("why",), length=4))
    image = (Feature(name="i", kind="image", shape=(2, 2, 3)), ImageEncoding(mean=(0.0,) * 3, scale=(1.0,) * 3))
    for pairs in ((numbers,), (numbers, words), (text,), (image,)):
        features, encodings = zip(*pairs, strict=True)
        schema = Schema(task="classification", features=features, target="y", labels=(0, 1))
        path = tmp_path / "model.onnx"
        path.write_bytes(build_preprocessor(schema, Encoding(features=encodings), opset).SerializeToString())
        assert vet_graph(path).total() > 1
