"""Small models in every format, made on the spot, and what they answer themselves."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tasks.contracts.artifacts import Architecture
from tasks.models import pretrained
from tasks.models.pretrained.formats import format_of

torch.set_num_threads(1)

MODULE = """
import torch
from torch import nn


def make(input_shape, output_size, hidden_sizes=(12,)):
    torch.manual_seed(3)
    size = 1
    for each in input_shape:
        size *= each
    width = hidden_sizes[0]
    return nn.Sequential(nn.Flatten(), nn.Linear(size, width), nn.ReLU(), nn.Linear(width, output_size))
"""


@pytest.fixture
def bring():
    """Loads a file for rows of this shape."""

    def brought(path, rows, outputs=3, loss="cross_entropy", target=None, **more):
        architecture = Architecture(
            family="pretrained",
            input_shape=rows.shape[1:],
            output_size=outputs,
            hidden_sizes=(12,),
            file_format=format_of(str(path)),
            **more,
        )
        return pretrained.load(Path(path), architecture, rows, loss=loss, target=target), architecture

    return brought


@pytest.fixture
def table():
    """40 rows of 4 numbers."""
    return np.random.default_rng(1).normal(size=(40, 4)).astype(np.float32)


@pytest.fixture
def images():
    """40 images (3, 6, 5)."""
    return np.random.default_rng(2).normal(size=(40, 3, 6, 5)).astype(np.float32)


@pytest.fixture
def network():
    """4 numbers to 3 logits."""
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


@pytest.fixture
def maker(tmp_path, monkeypatch):
    """An import path whose function makes a flattened MLP."""
    (tmp_path / "my_pretrained_network.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_pretrained_network:make"
    sys.modules.pop("my_pretrained_network", None)


def probabilities(logits):
    """Softmax in float64."""
    return torch.as_tensor(logits).double().softmax(1).numpy()
