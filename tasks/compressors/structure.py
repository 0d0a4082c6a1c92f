"""From a plan to the network that it means, before any of it is trained."""

import copy
from typing import NamedTuple

import numpy as np
from torch import nn

from tasks.compressors import magnitude
from tasks.compressors.channels import History, prune_channels
from tasks.contracts.artifacts import Architecture, Plan
from tasks.contracts.errors import ModelError
from tasks.models import zoo


class Structure(NamedTuple):
    """A network that is smaller than the dense one, or is about to lose weights."""

    module: nn.Module
    architecture: Architecture
    """From which it is built again."""
    history: History
    """What is cut from it then."""


def structure(
    dense: nn.Module, architecture: Architecture, plan: Plan, example: np.ndarray, *, round_to: int, seed: int
) -> Structure:
    """The dense network without the plan's channels, or an untrained student. No weight is zeroed yet.

    Args:
        dense: Stays as it is.
        architecture: Of the dense network, which was never cut.
        plan: What is asked for.
        example: A few encoded rows (N, ...), to trace the network with.
        round_to: Leave a multiple of this many channels.
        seed: Of a student's first weights.

    Raises:
        ModelError: Nothing can be cut, or the student is no smaller.
    """
    if plan.hidden_sizes:
        return _student(dense, architecture, plan.hidden_sizes, seed)
    module, history = copy.deepcopy(dense), History()
    if plan.ratio:
        module, history = prune_channels(dense, example, plan.ratio, round_to=round_to)
    if plan.sparsity:
        magnitude.check_weights(module)
    return Structure(module, architecture, history)


def _student(dense: nn.Module, architecture: Architecture, hidden_sizes: tuple[int, ...], seed: int) -> Structure:
    asked = f"prune.students holds {list(hidden_sizes)}"
    if architecture.family == "pretrained":
        raise ModelError(f"{asked}, but a pretrained model has no sizes to choose: set prune.students to []")
    smaller = architecture.model_copy(update={"hidden_sizes": hidden_sizes})
    module = zoo.build(smaller, seed=seed)
    weights, of_dense = (sum(p.numel() for p in each.parameters()) for each in (module, dense))
    if weights >= of_dense:
        raise ModelError(
            f"{asked}, a network of {weights} weights, but must be smaller than the dense one with {of_dense}: "
            "take smaller sizes, or leave it out"
        )
    return Structure(module, smaller, History())
