"""Unstructured pruning: the weights that are smallest in the whole network become zero and stay it.

The network keeps its shape and its speed; the zeros pay in transit, where a compressor removes them. Biases, norms and
single rows are spared: they are few, and weigh little to keep.

Source: Han et al. 2015, Learning both Weights and Connections (arXiv 1506.02626), with one threshold for all layers.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks.contracts.errors import ModelError
from tasks.models.pretrained import refuse_changes

Masks = dict[str, Tensor]
"""Parameter name to a boolean tensor of its shape: where a weight may live."""

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)


def prune_weights(module: nn.Module, ratio: float) -> Masks:
    """Zeroes the smallest weights in place, and returns what keeps them at zero during fine-tuning.

    Args:
        module: Its weight matrices and kernels are cut.
        ratio: Share of all their weights to remove, in (0, 1); at least one weight of each tensor is left.

    Raises:
        ModelError: If there is no weight matrix, or the module is a pretrained file.
    """
    check_weights(module)
    weights = _weights(module)
    sizes = torch.cat([value.abs().flatten() for value in weights.values()])
    keep = torch.ones_like(sizes, dtype=torch.bool)
    keep[sizes.argsort(stable=True)[: round(len(sizes) * ratio)]] = False
    masks = {}
    for (name, value), flat in zip(
        weights.items(), keep.split([value.numel() for value in weights.values()]), strict=True
    ):
        flat[value.abs().flatten().argmax()] = True  # a tensor of zeros alone would cut the network in two
        masks[name] = flat.reshape(value.shape).clone()
    apply(module, masks)
    return masks


def check_weights(module: nn.Module) -> None:
    """Refuse a network whose weights cannot be zeroed.

    Raises:
        ModelError: If there is no weight matrix, or the module is a pretrained file.
    """
    refuse_changes(module)
    if not _weights(module):
        raise ModelError(
            "the network has no weight matrix that could be cut: set prune.ratios and prune.sparsities to []"
        )


def apply(module: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Puts the masked weights back to zero, in place; called after every step of an optimizer."""
    with torch.no_grad():
        for name, mask in masks.items():
            parameter = module.get_parameter(name)
            # A product would leave -0.0, which compresses worse.
            parameter.masked_fill_(~mask.to(parameter.device), 0.0)


def masks_of(module: nn.Module) -> Masks:
    """What keeps the weights that are zero now at zero; tensors without a zero are left out.

    Exact zeros are the fact: a cut weight is one, and a trained one never is, but by a chance of one in millions.
    """
    return {name: value != 0 for name, value in _weights(module).items() if bool((value == 0).any())}


def sparsity(module: nn.Module) -> float:
    """Share of the weights that `prune_weights` may cut which are zero."""
    weights = _weights(module).values()
    total = sum(value.numel() for value in weights)
    return sum(int((value == 0).sum()) for value in weights) / total if total else 0.0


def _weights(module: nn.Module) -> dict[str, Tensor]:
    """Parameters of two axes or more, norms and biases left out."""
    spared = {id(p) for each in module.modules() if isinstance(each, _NORMS) for p in each.parameters(recurse=False)}
    return {
        name: parameter.detach()
        for name, parameter in module.named_parameters()
        if parameter.ndim >= 2 and id(parameter) not in spared
    }
