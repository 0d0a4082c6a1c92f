"""Which rows make a step: the same for the same seed and epoch, whatever happened before."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tasks.contracts.errors import ConfigError, DataError
from tasks.models.randomness import derived_seed

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Batches:
    """The steps of every epoch over `rows` rows; `batch_size` 0 takes all rows in each.

    A remainder of fewer rows than `least` joins the batch before it: batch norm has no variance of a single row, and
    no member of a team may go without one.

    Raises:
        ConfigError: `batch_size` is larger than the data, or smaller than `least`.
        DataError: There are no rows.
    """

    def __init__(self, rows: int, batch_size: int, *, least: int, seed: int) -> None:
        if rows == 0:
            raise DataError("the training split has 0 rows, but must have some: lower validation_share and test_share")
        if batch_size > rows:
            raise ConfigError(
                f"train.batch_size is {batch_size}, but must be at most {rows}, the rows of the training split: "
                "lower it, or take 0 for all of them"
            )
        if (batch_size or rows) < least:
            raise ConfigError(
                f"train.batch_size is {batch_size or rows}, but must be at least {least}: "
                "every worker needs a row, and two where the network has batch norm"
            )
        self._rows, self._size, self._seed, self._shuffled = rows, batch_size or rows, seed, batch_size > 0
        self.steps = rows // self._size + (rows % self._size >= least)

    def of_epoch(self, number: int) -> Iterator[Tensor]:
        """Row indices of each step. All rows at once come in their own order, as there is nothing to mix."""
        generator = torch.Generator().manual_seed(derived_seed(self._seed, number))
        order = torch.randperm(self._rows, generator=generator) if self._shuffled else torch.arange(self._rows)
        for step in range(self.steps):
            last = step == self.steps - 1
            yield order[step * self._size : self._rows if last else (step + 1) * self._size]


def least_rows(module: nn.Module, workers: int) -> int:
    """The fewest rows a step may have."""
    return workers * (2 if any(isinstance(layer, NORMS) for layer in module.modules()) else 1)
