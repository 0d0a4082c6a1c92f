"""Gradual magnitude pruning: the network loses its smallest weights bit by bit while it is trained.

The share of zeros rises along a cubic, fast at first, when there is much to spare, and slowly at the end; then the
network has the rest of the training to settle. After every update the threshold is one for the whole network, as in
`magnitude.prune_weights`. A weight that is zero stays zero, so the masks need no memory but the weights themselves.

Source: Zhu and Gupta 2017, To prune, or not to prune, equation 1 (arXiv 1710.01878), with initial sparsity 0.
"""

from dataclasses import dataclass

from torch import nn

from tasks.compressors import magnitude


@dataclass(frozen=True)
class Sparsity:
    """How many weights are zero in the end, and how they get there.

    Attributes:
        share: Of the weights that may be cut, in [0, 1); 0 only keeps at zero what is zero already.
        ramp: Part of all steps over which the share rises, in (0, 1]. A third to two thirds come to about the same.
        updates: How often it rises meanwhile, at most.
    """

    share: float = 0.0
    ramp: float = 0.5
    updates: int = 30

    def interval(self, steps: int) -> int:
        """Steps from one update to the next, in a training of so many."""
        return -(-self._ramp_steps(steps) // self.updates)

    def end(self, steps: int) -> int:
        """The step of the last update: from here on the network has as many zeros as it was meant to."""
        interval = self.interval(steps)
        return self._ramp_steps(steps) // interval * interval if self.share else 0

    def at(self, step: int, steps: int) -> float:
        """The share of zeros that is due once `step` of `steps` are done.

        >>> [round(Sparsity(0.9, ramp=0.5, updates=4).at(step, 16), 3) for step in (0, 2, 3, 4, 8, 16)]
        [0.0, 0.52, 0.52, 0.787, 0.9, 0.9]
        """
        end, interval = self.end(steps), self.interval(steps)
        if step >= end:
            return self.share
        return self.share * (1 - (1 - step // interval * interval / end) ** 3)

    def _ramp_steps(self, steps: int) -> int:
        return max(1, round(self.ramp * steps))


class Sparsifier:
    """Holds the weights of one training at zero.

    Args:
        module: Trained meanwhile by somebody else.
        sparsity: What is asked for; None leaves every weight alone.
    """

    def __init__(self, module: nn.Module, sparsity: Sparsity | None) -> None:
        self._module, self._sparsity = module, sparsity
        self._masks: magnitude.Masks = {}

    def begin(self) -> None:
        """Before an epoch: what is zero now stays zero, and nothing else is remembered.

        So a training that is taken up again from its weights goes on like one that was never cut.
        """
        if self._sparsity:
            self._masks = magnitude.masks_of(self._module)

    def apply(self, step: int, steps: int) -> None:
        """Once `step` of `steps` are done, by whatever optimizer: momentum moves weights without a gradient, too."""
        if not self._sparsity:
            return
        magnitude.apply(self._module, self._masks)
        is_update = step <= self._sparsity.end(steps) and step % self._sparsity.interval(steps) == 0
        if is_update and (share := self._sparsity.at(step, steps)):
            self._masks = magnitude.prune_weights(self._module, share)

    def settled(self, step: int, steps: int) -> bool:
        """Whether the network has its final zeros once `step` of `steps` are done."""
        return not self._sparsity or step >= self._sparsity.end(steps)
