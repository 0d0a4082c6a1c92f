"""Update rules, and how the step size moves."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks.trainers.records import OptimizerName, Schedule

MOMENTUM = 0.9
"""Of SGD in mini-batches; full-batch gradient descent has none, so that it is the one of the textbooks."""


def make_optimizer(
    module: nn.Module, name: OptimizerName, *, learning_rate: float, l2: float, full_batch: bool
) -> torch.optim.Optimizer:
    """The update rule for a module's trainable parameters.

    sgd and adam add `l2 * w` to the gradient (the penalty `l2 / 2 * |w|^2`); adamw shrinks the weights beside it
    (Loshchilov and Hutter 2017, arXiv 1711.05101). Biases and the scales of norms, which have one dimension, are never
    decayed.
    """
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in parameters if parameter.dim() > 1], "weight_decay": l2},
        {"params": [parameter for parameter in parameters if parameter.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    # fused: one pass over each tensor.
    if name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=0.0 if full_batch else MOMENTUM, fused=True)
    rule = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return rule(groups, lr=learning_rate, fused=True)


def learning_rate_at(step: int, steps: int, learning_rate: float, schedule: Schedule) -> float:
    """The step size of step 0 to `steps - 1`; a cosine falls from `learning_rate` towards zero.

    Source: Loshchilov and Hutter 2016, SGDR, equation 5 without restarts (arXiv 1608.03983).

    >>> learning_rate_at(5, 10, 0.1, "cosine")
    0.05
    """
    if schedule == "constant":
        return learning_rate
    return learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))


def optimizer_tensors(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory by `parameter name/slot`: momenta, second moments, step counts."""
    return {
        f"{name}/{slot}": value
        for name, parameter in module.named_parameters()
        for slot, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def restore_optimizer(module: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave."""
    parameters = dict(module.named_parameters())
    for key, value in tensors.items():
        name, _, slot = key.rpartition("/")
        parameter = parameters[name]
        # In the parameter's own layout: fused rules walk all three side by side in memory.
        laid_out = torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
        optimizer.state[parameter][slot] = laid_out.detach()
