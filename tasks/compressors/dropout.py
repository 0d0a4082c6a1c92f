"""A smaller network needs less dropout: it has less to overfit with, and every unit that is dropped costs it more.

Each rate falls with the share of the weights that are left (Han et al. 2015, Learning both Weights and Connections,
section 3.2, arXiv 1506.02626, take the root of a layer's share; of a network whose layers lose channels on both sides
that is about the share of the whole). Test accuracy of MNIST 784-256-128-10, dense 98.64 %, one run each of 14 to 20
epochs: that easing helps shows, which of the three helps most does not, for two runs differ by 0.05 to 0.1:

| cut | rates as they were | root of the share | the share | none |
|---|---|---|---|---|
| 62 to 65 % of channels | 98.12 | 98.25 to 98.37 | 98.35 | 98.41 |
| 96 % of weights | 98.38 | 98.51 | 98.66 | 98.59 |
"""

from torch import nn

from tasks.contracts.artifacts import Architecture


def ease(module: nn.Module, architecture: Architecture, share: float) -> Architecture:
    """Scale every dropout rate in place; returns the architecture that a network with such rates is built from.

    Args:
        module: As it was built, its rates not yet eased.
        architecture: From which it was built.
        share: Of the dense network's weights that are left, in (0, 1].
    """
    share = min(share, 1.0)
    for layer in module.modules():
        if isinstance(layer, nn.modules.dropout._DropoutNd):
            layer.p *= share
    return architecture.model_copy(update={"dropout": architecture.dropout * share})
