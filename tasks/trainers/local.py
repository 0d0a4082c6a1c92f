"""The launcher of the training loop in this process."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Unpack

from torch import Tensor, nn

from tasks.models.randomness import seeded
from tasks.trainers import loop, repeatable
from tasks.trainers.records import Arrays, Epoch, Fit, Settings, ignore

THREADS = 2
"""The same everywhere by default: threads share out sums, and another number of them rounds to other weights."""


def fit(
    module: nn.Module,
    train: Arrays,
    validation: Arrays,
    *,
    threads: int = THREADS,
    checkpoint: Path | None = None,
    report: Callable[[Epoch], None] = ignore,
    teacher: nn.Module | Tensor | None = None,
    masks: Mapping[str, Tensor] | None = None,
    **settings: Unpack[Settings],
) -> Fit:
    """Train here, on `threads` cores; everything else is as in `loop.fit`."""
    with seeded(settings["seed"]), repeatable.threads(threads):
        return loop.fit(
            module, train, validation, checkpoint=checkpoint, report=report, teacher=teacher, masks=masks, **settings
        )
