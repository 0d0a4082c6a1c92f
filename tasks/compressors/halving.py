"""Successive halving: all networks are fine-tuned a little, the better half of them twice as long, and so on.

Most of what a search would spend goes to networks that a few epochs show to be hopeless; here every round costs about
the same, and the last two get most of the epochs. Imports no torch, so that a flow may read it.

Source: Jamieson and Talwalkar 2016, Non-stochastic Best Arm Identification and Hyperparameter Optimization, figure 3
(arXiv 1502.07943). What is added here is what size means for the budget, see `survivors`.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from tasks.contracts.artifacts import Dropped, Network
from tasks.runtime.budget import drop, metric_of

LAST = 2
"""So few networks are not halved any more, though one may still be beaten."""


def rounds(networks: int, epochs: int) -> tuple[int, ...]:
    """How many epochs each round takes: about twice those of the one before, `epochs` in all, at least 1 each.

    As many rounds as it takes to come down to two networks, or as the epochs allow; at least one.

    >>> rounds(12, 15), rounds(12, 10), rounds(3, 10), rounds(2, 10), rounds(12, 2), rounds(5, 0)
    ((1, 2, 4, 8), (1, 3, 6), (3, 7), (10,), (2,), (0,))
    """
    count = 1
    while networks > LAST and 2 ** (count + 1) - 1 <= epochs:
        networks, count = half(networks), count + 1
    ends = [round(epochs * (2**i - 1) / (2**count - 1)) for i in range(count + 1)]
    return tuple(end - start for start, end in pairwise(ends))


def half(networks: int) -> int:
    """How many of so many go on at most."""
    return max(LAST, -(-networks // 2))


def survivors(
    networks: Sequence[Network],
    dense: Network,
    *,
    task: Literal["classification", "regression"],
    max_drop: float,
) -> tuple[tuple[Network, ...], tuple[Dropped, ...]]:
    """Which networks go on after a round, and which are given up.

    A network is small on disk by its shape and small in transit by its zeros; which of the two is wanted is not asked
    here, so that one counts as smaller that is smaller in either. The smallest in each that keep `max_drop` already
    are safe; what is larger than them in both cannot win any more; of the rest, those that lose least fill up the half.

    Args:
        networks: After the same number of epochs.
        dense: What losses are held against.
        task: What the metrics mean.
        max_drop: Percentage points of accuracy, or per cent of RMSE.
    """
    losses = {each.name: drop(metric_of(task), each.metric, dense.metric) for each in networks}
    inside = [each for each in networks if losses[each.name] <= max_drop + 1e-9]
    safe = [min(inside, key=measure) for measure in (_on_disk, _in_transit)] if inside else []
    beaten = [each for each in networks if safe and each not in safe and not _is_smaller(each, safe)]
    rivals = sorted((each for each in networks if each not in beaten), key=lambda each: losses[each.name])
    kept, lost = rivals[: half(len(networks))], rivals[half(len(networks)) :]  # the safe ones lose least of all rivals
    reasons = {each.name: _beaten_by(each, safe) for each in beaten}
    reasons |= {each.name: _loses(losses[each.name], losses[kept[-1].name]) for each in lost}
    dropped = (Dropped(name=name, rung="finetune", reason=reason) for name, reason in reasons.items())
    return tuple(each for each in networks if each in kept), tuple(dropped)


def _on_disk(network: Network) -> tuple[int, int, str]:
    return network.file.size_bytes, network.parameters, network.name


def _in_transit(network: Network) -> tuple[int, int, str]:
    return network.parameters, network.file.size_bytes, network.name


def _is_smaller(network: Network, safe: Sequence[Network]) -> bool:
    """Than the safe ones, on disk or in transit."""
    on_disk, in_transit = safe
    return _on_disk(network) < _on_disk(on_disk) or _in_transit(network) < _in_transit(in_transit)


def _beaten_by(network: Network, safe: Sequence[Network]) -> str:
    names = " and ".join(sorted({f"{each.name} ({each.parameters})" for each in safe}))
    return f"it has {network.parameters} weights and cannot win: smaller ones keep max_drop already, {names}"


def _loses(loss: float, most: float) -> str:
    return f"it loses {loss:.3g}, and of the half that goes on none more than {most:.3g}"
