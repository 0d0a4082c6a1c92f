import numpy as np
import pytest
import torch
from torch import nn

from tasks.exporters.onnx_graph import export_network

torch.set_num_threads(1)


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every weight, and what batch norms remember, drawn anew: no two are equal, none is zero."""
    drawn = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            if value.is_floating_point():
                value.copy_(torch.randn(value.shape, generator=drawn) * 0.3 + (1.0 if "var" in name else 0.0))
                if "var" in name:
                    value.abs_().add_(0.1)
    return module.eval()


@pytest.fixture(name="randomised")
def _randomised():
    return randomised


@pytest.fixture(scope="session")
def trained():
    """A network trained on three blobs in 20 axes: module, graph, rows and classes."""
    random = np.random.default_rng(0)
    classes = random.integers(0, 3, size=3000)
    rows = (random.normal(size=(3, 20))[classes] + 0.9 * random.normal(size=(3000, 20))).astype(np.float32)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 3))
    optimizer = torch.optim.Adam(module.parameters(), 0.003)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(torch.from_numpy(rows[:2000])), torch.from_numpy(classes[:2000])).backward()
        optimizer.step()
    return module.eval(), export_network(module, rows[:2], 20), rows, classes
