"""The launcher of the training loop in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import Unpack

from torch import Tensor, nn

from tasks.compressors.gradual import Sparsity
from tasks.models.randomness import seeded
from tasks.trainers import loop, repeatable
from tasks.trainers.records import Arrays, Epoch, Fit, Settings, ignore

THREADS = 1
"""The same everywhere: threads share out sums, so another number of them rounds to other weights.

One, because a second thread gains at most half on small networks, and loses tenfold where another process wants its
core: on two busy cores 20 epochs of a 64-64-32-10 network took 0.4 s with one thread and 7 to 12 s with two, an epoch
of a CNN 1.6 s against 6 to 11 s. Whoever has cores to spare says so in the recipe: engine torchrun, one worker a core.
"""


def fit(
    module: nn.Module,
    train: Arrays,
    validation: Arrays,
    *,
    threads: int = THREADS,
    checkpoint: Path | None = None,
    report: Callable[[Epoch], None] = ignore,
    teacher: nn.Module | Tensor | None = None,
    sparsity: Sparsity | None = None,
    **settings: Unpack[Settings],
) -> Fit:
    """Train here, on `threads` cores; everything else is as in `loop.fit`."""
    with seeded(settings["seed"]), repeatable.threads(threads):
        return loop.fit(
            module,
            train,
            validation,
            checkpoint=checkpoint,
            report=report,
            teacher=teacher,
            sparsity=sparsity,
            **settings,
        )
