"""What training takes and gives: arrays and settings in, epochs and a fit out."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np
from torch import Tensor, nn

LossName = Literal["mse", "cross_entropy", "bce"]
OptimizerName = Literal["sgd", "adam", "adamw"]
Schedule = Literal["cosine", "constant"]
Stop = Literal["epochs", "patience", "stop_loss"]


class Arrays(NamedTuple):
    """Encoded rows and their targets.

    Inputs are (N, D) or (N, C, H, W) float32, or (N, L) int64 token ids; targets are (N,) int64 classes, or (N,)
    float32 standardised numbers.
    """

    inputs: np.ndarray[Any, Any] | Tensor
    targets: np.ndarray[Any, Any] | Tensor


class Settings(TypedDict):
    """The arguments of `loop.fit` that are plain values."""

    loss: LossName
    optimizer: OptimizerName
    learning_rate: float
    schedule: Schedule
    epochs: int
    batch_size: int
    l2: float
    stop_loss: float | None
    patience: int
    seed: int


@dataclass(frozen=True)
class Epoch:
    """One pass over the training split, as it is reported.

    Attributes:
        number: Counted from 1.
        train_loss: Mean over the rows of the epoch, each at the weights it was met with; without the l2 penalty.
        validation_loss: Mean over the validation split at the end of the epoch.
        metric: On the validation split: accuracy (0 to 1), or RMSE in the targets' unit.
        learning_rate: Of the first step.
        seconds: Wall time, validation included.
        ended_ms: When it ended, in milliseconds since 1970; 0 if nobody wrote it down.
    """

    number: int
    train_loss: float
    validation_loss: float
    metric: float
    learning_rate: float
    seconds: float
    ended_ms: int = 0


@dataclass(frozen=True)
class Fit:
    """What training came to.

    Attributes:
        module: The module that was given, with the weights of the best epoch, in evaluation mode.
        epochs: Every epoch, those before a resumption included.
        best_epoch: Number of the epoch whose weights were kept; 0 if none was asked for.
        loss: Its validation loss.
        metric: Its accuracy (0 to 1) or RMSE in the targets' unit, on the validation split.
        stopped_by: Why there was no further epoch.
    """

    module: nn.Module
    epochs: tuple[Epoch, ...]
    best_epoch: int
    loss: float
    metric: float
    stopped_by: Stop


def ignore(epoch: Epoch) -> None:
    """Report to nobody."""
