"""The state of torch that the same bytes depend on: deterministic algorithms, and the number of threads."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils import deterministic as memory


@contextmanager
def deterministic() -> Iterator[None]:
    """Only algorithms that always add up in the same order; afterwards whatever was allowed before."""
    allowed, only_warned = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    filled = memory.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True)
    # Otherwise NaN is written into every tensor that is about to be overwritten anyway.
    memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(allowed, warn_only=only_warned)
        memory.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Share sums out to `number` threads: another number of them rounds to other weights."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
