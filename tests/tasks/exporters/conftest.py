from functools import cache

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from tasks.contracts.schema import CategoryEncoding, Encoding, Feature, NumberEncoding, Schema
from tasks.exporters.onnx_graph import export_network

torch.set_num_threads(1)


class Attention(nn.Module):
    """Token ids (N, L) through one masked transformer layer."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.3, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, ids):
        return self.head(self.layer(self.embed(ids), src_key_padding_mask=ids == 0).mean(1))


class Recurrent(nn.Module):
    """Token ids (N, L) through a recurrent cell."""

    def __init__(self, cell):
        super().__init__()
        self.embed = nn.Embedding(30, 8)
        self.cell = cell(8, 6, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, ids):
        return self.head(self.cell(self.embed(ids))[0][:, -1])


class Residual(nn.Module):
    """Images (N, 1, 8, 8) through a convolution with a way around it."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 3))

    def forward(self, images):
        hidden = torch.relu(self.first(images))
        return self.head(hidden + self.second(hidden))


def small_network(kind: str) -> tuple[nn.Module, np.ndarray]:
    """A seeded module and 40 encoded rows for it."""
    torch.manual_seed(7)
    random = np.random.default_rng(7)
    ids = random.integers(0, 30, size=(40, 10))
    ids[:, 0] = 5  # a row of padding alone is not a number in attention
    return {
        "mlp": lambda: (
            nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3)),
            random.normal(size=(40, 4)).astype(np.float32),
        ),
        "residual": lambda: (Residual(), random.normal(size=(40, 1, 8, 8)).astype(np.float32)),
        "gru": lambda: (Recurrent(nn.GRU), ids),
        "attention": lambda: (Attention(), ids),
    }[kind]()


@pytest.fixture(name="small_network")
def _small_network():
    return small_network


@pytest.fixture(scope="session")
def exported():
    """What `small_network` gives, and a graph of it at opset 20 to do with as one likes; each is traced once."""
    traced = cache(lambda kind: export_network(*small_network(kind), 20).SerializeToString(deterministic=True))

    def export(kind):
        return *small_network(kind), onnx.ModelProto.FromString(traced(kind))

    return export


@pytest.fixture
def numbers():
    """Schema, encoding and preprocessor of four numbers and three classes."""
    schema = Schema(
        task="classification",
        features=tuple(Feature(name=name, kind="number") for name in "abcd"),
        target="y",
        labels=(0, 1, 2),
    )
    encoding = Encoding(features=tuple(NumberEncoding(mean=float(i), scale=2.0) for i in range(4)))
    return schema, encoding, scaling_preprocessor(np.arange(4), 2.0)


def scaling_preprocessor(mean, scale, opset=20):
    """`(features - mean) / scale`."""
    made = helper.make_graph(
        [
            helper.make_node("Sub", ["features", "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "scale"], ["encoded"]),
        ],
        "scaling",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", len(mean)])],
        [helper.make_tensor_value_info("encoded", TensorProto.FLOAT, ["batch", len(mean)])],
        [
            numpy_helper.from_array(np.asarray(mean, np.float32), "mean"),
            numpy_helper.from_array(np.float32(scale), "scale"),
        ],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


@pytest.fixture
def mixed():
    """Schema, encoding and preprocessor of one number and one string column, two classes that are words."""
    schema = Schema(
        task="classification",
        features=(Feature(name="age", kind="number"), Feature(name="city", kind="category")),
        target="bought",
        labels=("no", "yes"),
    )
    encoding = Encoding(
        features=(NumberEncoding(mean=40.0, scale=10.0), CategoryEncoding(values=("Bergen", "Oslo", "Tromsø")))
    )
    constants = {
        "mean": np.float32(40),
        "scale": np.float32(10),
        "column": np.array([-1, 1]),
        "depth": np.array([4]),
        "off_on": np.float32([0, 1]),
        "first": np.array([0]),
        "past": np.array([3]),
        "axis": np.array([1]),
    }
    made = helper.make_graph(
        [
            helper.make_node("Sub", ["age", "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "scale"], ["scaled"]),
            helper.make_node("Reshape", ["scaled", "column"], ["number"]),
            helper.make_node(
                "LabelEncoder",
                ["city"],
                ["index"],
                domain="ai.onnx.ml",
                keys_strings=["Bergen", "Oslo", "Tromsø"],
                values_int64s=[0, 1, 2],
                default_int64=3,
            ),
            helper.make_node("OneHot", ["index", "depth", "off_on"], ["hot"]),
            helper.make_node("Slice", ["hot", "first", "past", "axis"], ["known"]),
            helper.make_node("Concat", ["number", "known"], ["encoded"], axis=1),
        ],
        "mixed",
        [
            helper.make_tensor_value_info("age", TensorProto.FLOAT, ["batch"]),
            helper.make_tensor_value_info("city", TensorProto.STRING, ["batch"]),
        ],
        [helper.make_tensor_value_info("encoded", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 4)]
    return schema, encoding, helper.make_model(made, opset_imports=opsets, ir_version=10)
