"""The losses: what each minimises, what it is judged by, and which answers and targets it takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.contracts.errors import ConfigError, unknown_name
from tasks.trainers.records import Arrays, LossName
from tasks.trainers.team import Alone, Team

BATCH_ROWS = 1024
"""Rows in one forward pass while nothing is learned: larger ones leave the cache of a core."""


@dataclass(frozen=True)
class Objective:
    """A loss by name.

    Attributes:
        loss: (N, outputs) logits and (N,) targets to the mean loss.
        score: The same to the sum over rows of what `metric` averages: hits, or squared differences.
        metric: Mean score to what the user reads: accuracy (0 to 1), or RMSE in the targets' unit.
    """

    loss: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[Tensor, Tensor], Tensor]
    metric: Callable[[float], float]


def _binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits.squeeze(1), targets.to(logits.dtype))


OBJECTIVES: dict[str, Objective] = {
    "cross_entropy": Objective(
        loss=functional.cross_entropy,
        score=lambda logits, targets: (logits.argmax(1) == targets).sum(),
        metric=lambda hits: hits,
    ),
    "bce": Objective(
        loss=_binary_cross_entropy,
        score=lambda logits, targets: ((logits.squeeze(1) > 0) == (targets > 0)).sum(),
        metric=lambda hits: hits,
    ),
    "mse": Objective(
        loss=lambda logits, targets: functional.mse_loss(logits.squeeze(1), targets),
        score=lambda logits, targets: functional.mse_loss(logits.squeeze(1), targets, reduction="sum"),
        metric=lambda squares: squares**0.5,
    ),
}


def objective(name: str) -> Objective:
    """The objective of this name.

    Raises:
        ConfigError: There is none.
    """
    if name not in OBJECTIVES:
        raise ConfigError(f"train.{unknown_name('loss', name, OBJECTIVES)}")
    return OBJECTIVES[name]


def check_targets(name: str, targets: Tensor, outputs: int) -> None:
    """Refuse targets that this loss cannot be taken of.

    Raises:
        ConfigError: Numbers for a loss over classes or the reverse, or more classes than the network has outputs.
    """
    whole = not targets.is_floating_point()
    if whole == (name == "mse"):
        found, fitting = ("classes", "cross_entropy") if whole else ("numbers", "mse")
        raise ConfigError(f"train.loss is {name}, but the targets are {found}: take {fitting}")
    if name in ("mse", "bce") and outputs != 1:
        raise ConfigError(f"train.loss is {name}, but must have a network of one output, not {outputs}: take another")
    highest = {"cross_entropy": outputs - 1, "bce": 1}.get(name)
    if highest is not None and not 0 <= int(targets.min()) <= int(targets.max()) <= highest:
        raise ConfigError(
            f"train.loss is {name}, but targets run from {int(targets.min())} to {int(targets.max())} "
            f"and must lie in 0 to {highest}: number the classes, or give the network more outputs"
        )


class Rows(NamedTuple):
    """Arrays as torch sees them: targets are int64 or float32."""

    inputs: Tensor
    targets: Tensor


def answers(module: nn.Module, inputs: Tensor) -> Tensor:
    """Logits of all rows, in batches, in evaluation mode and without gradients; the mode is put back."""
    training = module.training
    module.eval()
    with torch.no_grad():
        logits = torch.cat([module(inputs[start : start + BATCH_ROWS]) for start in range(0, len(inputs), BATCH_ROWS)])
    module.train(training)
    return logits


def evaluate(module: nn.Module, arrays: Arrays | Rows, loss: LossName, team: Team | None = None) -> tuple[float, float]:
    """Mean loss and metric (accuracy 0 to 1, or RMSE in the targets' unit); the batches are dealt out to the team."""
    aim, team, training = objective(loss), team or Alone(), module.training
    inputs, targets = tensors(arrays)
    summed, score, count = 0.0, 0.0, len(targets)
    module.eval()
    with torch.no_grad():
        for start in range(team.rank * BATCH_ROWS, count, team.size * BATCH_ROWS):
            rows = slice(start, start + BATCH_ROWS)
            logits = module(inputs[rows])
            summed += aim.loss(logits, targets[rows]).item() * len(targets[rows])
            score += aim.score(logits, targets[rows]).item()
    module.train(training)
    summed, score = team.total(summed, score)
    return summed / count, aim.metric(score / count)


def tensors(arrays: Arrays | Rows) -> Rows:
    """Arrays as tensors, without a copy where none is needed."""
    inputs, targets = (each if isinstance(each, Tensor) else torch.from_numpy(each) for each in arrays)
    return Rows(
        inputs.float() if inputs.is_floating_point() else inputs,
        targets.float() if targets.is_floating_point() else targets.long(),
    )
