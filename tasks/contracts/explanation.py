"""Which inputs drive the answers."""

from typing import Literal

from tasks.contracts.artifacts import Artifact
from tasks.contracts.record import Record


class Influence(Record):
    """How much one input, or several together, drives the answers."""

    name: str
    """A column, a word, or a region of the image; several columns are joined by ` + `."""
    label: str = ""
    """Words: the class that it speaks for."""
    mean: float
    low: float
    high: float
    """A 95 % interval of the mean over repeats or occurrences; equal to it where there is only one."""
    count: int = 0
    """Repeats, occurrences of a word, or images."""


class Example(Record):
    """One text, word by word."""

    label: str
    """What the network answers, or ''."""
    words: tuple[str, ...]
    scores: tuple[float, ...]
    """What each word adds to that answer's logit, or to the value."""


class Explanation(Record):
    """Which inputs drive the winner's answers."""

    method: Literal["permutation", "integrated gradients", "none"]
    unit: str = ""
    """What the figures of `influences` are, in words."""
    rows: int = 0
    """Of the validation split, that were looked at."""
    influences: tuple[Influence, ...] = ()
    """The strongest first."""
    together: tuple[Influence, ...] = ()
    """Columns that rise and fall together, shuffled as one: alone, each hides behind the others."""
    heat_maps: dict[str, tuple[tuple[float, ...], ...]] = {}
    """Images: the mean absolute attribution of each place, over `all` and for each class; pooled to 28 x 28 at most."""
    examples: tuple[Example, ...] = ()
    figure: Artifact | None = None
    """All of it in one image, PNG."""
    note: str = ""
    """What was left out or why there is nothing; one sentence."""
