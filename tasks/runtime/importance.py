"""Which inputs a graph leans on: by how much its error grows when one of them is shuffled among the rows.

Source: Breiman 2001, Random Forests, section 10; Fisher, Rudin and Dominici 2019 (arXiv 1801.01489). It asks the
graph alone, so it fits every format. A column that another one repeats looks idle by itself; such columns are found by
their rank correlation and shuffled once more together.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from tasks.contracts.explanation import Influence
from tasks.contracts.signature import Signature
from tasks.runtime import metrics
from tasks.runtime.scoring import Outputs, correct

Inputs = Mapping[str, np.ndarray]
REPEATS = 5
MOST_SECONDS = 20.0
MOST_ANSWERS = 1_000_000
"""Rows that the graph answers in all, unless there are so many columns that even 100 rows each are more."""
LEAST_ROWS, MOST_ROWS = 100, 2000
RELATED = 0.8
"""Columns of at least this absolute rank correlation are shuffled together too."""
MOST_COMPARED = 500
"""Columns whose correlations are looked at."""
FEWEST_COMPARED = 20
"""Rows; in fewer, columns rise and fall together by chance."""
GRID = tuple(
    f"{down} {across}".replace("middle centre", "centre")
    for down, across in product(("top", "middle", "bottom"), ("left", "centre", "right"))
)
"""The nine regions of an image, row by row."""


@dataclass(frozen=True)
class Part:
    """Something of every row that is shuffled as one: places in one or more tensors."""

    name: str
    places: tuple[tuple[str, tuple[int | slice, ...]], ...]
    """Tensor, and where in one row of it."""


def columns_of(signature: Signature) -> list[Part]:
    """One part a column of a table."""
    parts = []
    for tensor in signature.inputs:
        for place, column in enumerate(tensor.columns):
            parts.append(Part(column, ((tensor.name, (place,) if len(tensor.shape) > 1 else ()),)))
    return parts


def regions_of(name: str, height: int, width: int) -> list[Part]:
    """The nine regions of an image tensor (N, H, W) or (N, H, W, C)."""
    down, across = _thirds(height), _thirds(width)
    return [
        Part(region, ((name, place),))
        for region, place in zip(GRID, product(down, across), strict=True)
        if all(part.stop > part.start for part in place)
    ]


def related(parts: Sequence[Part], inputs: Inputs) -> list[Part]:
    """Columns of numbers that rise and fall together, chained, each chain as one part."""
    from scipy.sparse.csgraph import connected_components

    numbers = [part for part in parts if inputs[part.places[0][0]].dtype.kind == "f"][:MOST_COMPARED]
    if len(numbers) < 2 or len(_values(numbers[0], inputs)) < FEWEST_COMPARED:
        return []
    ranks = np.stack([_ranks(_values(part, inputs)) for part in numbers])
    lengths = np.linalg.norm(ranks, axis=1, keepdims=True)
    unit = ranks / np.where(lengths > 0, lengths, 1)  # a constant is related to nothing
    found, chain = connected_components(np.abs(unit @ unit.T) >= RELATED, directed=False)
    chains = [[part for part, at in zip(numbers, chain, strict=True) if at == each] for each in range(found)]
    return [_joined(each) for each in chains if len(each) > 1]


def rows_for(parts: int, available: int) -> int:
    """How many rows are looked at, so that a wide table costs no more than a narrow one.

    >>> rows_for(8, 10_000), rows_for(784, 10_000), rows_for(10_000, 50)
    (2000, 255, 50)
    """
    return min(available, MOST_ROWS, max(LEAST_ROWS, MOST_ANSWERS // (REPEATS * max(parts, 1))))


def permutation(
    answer: Callable[[Inputs], Outputs],
    inputs: Inputs,
    target: np.ndarray,
    labels: Sequence[int] | Sequence[str],
    parts: Sequence[Part],
    *,
    seed: int,
    repeats: int = REPEATS,
    most_seconds: float = MOST_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> list[Influence | None]:
    """By how much shuffling each part worsens the answers: percentage points of accuracy, or RMSE.

    Round after round over all parts, so that each has been asked once before any is asked again. One influence a part,
    None for those that were not reached in time; it may be a little below zero, which is noise.

    Args:
        answer: What a batch of raw rows is answered with.
        inputs: The rows.
        target: Class indices, or values.
        labels: The classes; empty for regression.
        parts: What to shuffle.
        seed: Of the shuffling: the same one gives the same figures.
        repeats: Rounds.
        most_seconds: No shuffle begins after so long.
        clock: Tells seconds.
    """
    started, usual = clock(), _error(answer(inputs), target, labels)
    rises: list[list[float]] = [[] for _ in parts]
    for turn, (place, part) in product(range(repeats), enumerate(parts)):
        if clock() - started >= most_seconds:
            break
        order = np.random.default_rng([seed, turn, place]).permutation(len(target))
        rises[place].append(_error(answer(shuffled(inputs, part, order)), target, labels) - usual)
    return [influence(part.name, rise) if rise else None for part, rise in zip(parts, rises, strict=True)]


def ranked(found: Sequence[Influence | None]) -> tuple[Influence, ...]:
    """Those that were reached, the strongest first."""
    return tuple(sorted((each for each in found if each), key=lambda each: -each.mean))


def shuffled(inputs: Inputs, part: Part, order: np.ndarray) -> dict[str, np.ndarray]:
    """The rows with one part taken from other rows; its places move together, nothing else is touched."""
    changed = dict(inputs)
    for tensor, place in part.places:
        if changed[tensor] is inputs[tensor]:
            changed[tensor] = inputs[tensor].copy()
        changed[tensor][(slice(None), *place)] = inputs[tensor][(order, *place)]
    return changed


def influence(name: str, values: Sequence[float], label: str = "") -> Influence:
    """The mean of some values with Student's 95 % interval.

    >>> influence("age", [2.0]).low
    2.0
    """
    from scipy import stats

    sample = np.asarray(values, dtype=np.float64)
    mean = float(sample.mean())
    half = 0.0
    if len(sample) > 1:
        half = float(stats.t.ppf(0.975, len(sample) - 1) * sample.std(ddof=1) / np.sqrt(len(sample)))
    return Influence(name=name, label=label, mean=mean, low=mean - half, high=mean + half, count=len(sample))


def _error(outputs: Outputs, target: np.ndarray, labels: Sequence[int] | Sequence[str]) -> float:
    if labels:
        return 100 * (1 - float(correct(outputs, target, labels).mean()))
    return metrics.rmse(target, outputs["value"])


def _thirds(size: int) -> list[slice]:
    ends = [round(size * third / 3) for third in range(4)]
    return [slice(start, end) for start, end in pairwise(ends)]


def _values(part: Part, inputs: Inputs) -> np.ndarray:
    ((tensor, place),) = part.places
    return np.asarray(inputs[tensor][(slice(None), *place)], dtype=np.float64)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Centred ranks; a missing value has none, and takes the mean."""
    from scipy import stats

    ranks = stats.rankdata(values, nan_policy="omit")
    return np.nan_to_num(ranks - np.nanmean(ranks)) if np.isfinite(ranks).any() else np.zeros(len(values))


def _joined(parts: Sequence[Part]) -> Part:
    names = [part.name for part in parts]
    shown = " + ".join(names[:4]) + (f" + {len(names) - 4} more" if len(names) > 4 else "")
    return Part(shown, tuple(place for part in parts for place in part.places))
