"""Networks in the store: one safetensors file each, rebuilt from its own header."""

import tempfile
from pathlib import Path
from typing import Literal

from torch import nn

from tasks.compressors.channels import History
from tasks.contracts.artifacts import Architecture, Network
from tasks.models import network_file
from tasks.models.pretrained import parameter_count
from tasks.stores.s3 import Store


def put_network(
    store: Store,
    module: nn.Module,
    *,
    name: str,
    architecture: Architecture,
    history: History,
    loss: Literal["mse", "cross_entropy", "bce"],
    metric: float,
    epochs: int = 0,
) -> Network:
    """Store a trained module with all that is needed to rebuild it."""
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        path = Path(folder) / "network.safetensors"
        network_file.save(module, architecture, history, path)
        file = store.put_file(path)
    parameters = parameter_count(module)
    return Network(
        name=name,
        file=file,
        architecture=architecture,
        loss=loss,
        parameters=parameters,
        metric=metric,
        epochs=epochs,
    )


def get_network(store: Store, network: Network) -> nn.Module:
    """The module of a stored network, in evaluation mode."""
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        path = store.fetch(network.file, Path(folder) / "network.safetensors")
        return network_file.load(path).eval()


def get_with_history(store: Store, network: Network) -> tuple[nn.Module, History]:
    """The module of a stored network, in evaluation mode, and what was cut from it since it was built."""
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        path = store.fetch(network.file, Path(folder) / "network.safetensors")
        return network_file.load(path).eval(), network_file.pruning_history(path)
