"""Who trains: one process alone, or several that average their gradients.

Every member walks the same batches and takes its share of the rows of each, so that N processes descend the same
gradients as one.
"""

from typing import Protocol

import torch
from torch import distributed, nn


class Team(Protocol):
    """What the loop asks of the processes around it."""

    rank: int
    size: int

    def join(self, module: nn.Module) -> nn.Module:
        """The module whose backward pass averages gradients over the team."""
        ...

    def total(self, *numbers: float) -> list[float]:
        """Each number, summed over the team; the same everywhere."""
        ...

    def agree(self, module: nn.Module) -> None:
        """Give everybody the buffers of rank 0: running means that each has counted over its own rows."""
        ...


class Alone:
    """A team of one."""

    rank = 0
    size = 1

    def join(self, module: nn.Module) -> nn.Module:
        """The module itself."""
        return module

    def total(self, *numbers: float) -> list[float]:
        """The numbers themselves."""
        return list(numbers)

    def agree(self, module: nn.Module) -> None:
        """Nothing to do."""


class ProcessGroup:
    """The processes that `torch.distributed` has brought together."""

    def __init__(self) -> None:
        self.rank = distributed.get_rank()
        self.size = distributed.get_world_size()

    def join(self, module: nn.Module) -> nn.Module:
        """The module in DistributedDataParallel, which finds parameters that a custom forward leaves out."""
        return nn.parallel.DistributedDataParallel(module, find_unused_parameters=True)

    def total(self, *numbers: float) -> list[float]:
        """Each number, summed in double precision."""
        sums = torch.tensor(numbers, dtype=torch.float64)
        distributed.all_reduce(sums)
        return [float(number) for number in sums]

    def agree(self, module: nn.Module) -> None:
        """Broadcast rank 0's buffers."""
        for buffer in module.buffers():
            distributed.broadcast(buffer, src=0)
