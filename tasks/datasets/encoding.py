"""How rows become tensors, fitted on the training split alone."""

from math import ceil
from typing import Literal

import numpy as np

from tasks.contracts.schema import CategoryEncoding, Encoding, ImageEncoding, NumberEncoding, TextEncoding
from tasks.datasets.summary import (
    CategorySummary,
    ImageSummary,
    NumberSummary,
    Summary,
    TextSummary,
    TrainingSummary,
)

Scaling = Literal["standard", "unit", "none"]
AS_IT_IS = NumberEncoding(mean=0.0, scale=1.0)
MOST_WORDS = 20_000
SHORTEST, LONGEST = 4, 256
"""Bounds of the token count a text is cut or padded to."""
LENGTH_QUANTILE = 0.99
LEAST_SCALE = float(np.finfo(np.float32).tiny)
"""A smaller spread is none."""


def fit(summary: TrainingSummary, scaling: Scaling = "standard") -> Encoding:
    """The encoding of rows like those summed up.

    Args:
        summary: Of the training split.
        scaling: standard centres numbers and pixels; unit takes pixels as 0 to 1 and none as 0 to 255, both take
            numbers as they are. A regression target is always standardised.
    """
    target = summary.target
    return Encoding(
        features=tuple(_encoding(feature, scaling) for feature in summary.features),
        target=_numbers(target) if isinstance(target, NumberSummary) else None,
    )


def _encoding(summary: Summary, scaling: Scaling) -> NumberEncoding | CategoryEncoding | ImageEncoding | TextEncoding:
    match summary:
        case NumberSummary():
            return _numbers(summary) if scaling == "standard" else AS_IT_IS
        case CategorySummary():
            return CategoryEncoding(values=tuple(sorted(summary.counts)))
        case TextSummary():
            return _text(summary)
        case ImageSummary():
            return _image(summary) if scaling == "standard" else _pixels(summary, 1 / 255 if scaling == "none" else 1.0)


def _numbers(summary: NumberSummary) -> NumberEncoding:
    return NumberEncoding(mean=summary.mean, scale=_scale(summary.mean, summary.std))


def varies(mean: float, std: float) -> bool:
    """Whether a spread is more than rounding.

    A constant column has a spread of rounding errors: 1e-12 of its value, where float64 holds 2e-16. And what the
    graph's float32 rounds to zero cannot be divided by.
    """
    return std > max(1e-12 * abs(mean), LEAST_SCALE)


def _scale(mean: float, std: float) -> float:
    return std if varies(mean, std) else 1.0


def _text(summary: TextSummary) -> TextEncoding:
    ranked = sorted(summary.words.items(), key=lambda counted: (-counted[1], counted[0]))
    usual = ceil(float(np.quantile(summary.lengths.sample, LENGTH_QUANTILE)))
    return TextEncoding(words=tuple(word for word, _ in ranked[:MOST_WORDS]), length=min(max(usual, SHORTEST), LONGEST))


def _image(summary: ImageSummary) -> ImageEncoding:
    """From exact counts of the 256 levels: no sum of floats is involved."""
    levels = np.arange(256) / 255
    share = summary.levels / summary.levels.sum(axis=1, keepdims=True)
    mean = share @ levels
    std = np.sqrt((share * np.square(levels - mean[:, None])).sum(axis=1))
    scale = [_scale(float(m), float(s)) for m, s in zip(mean, std, strict=True)]
    return ImageEncoding(mean=tuple(float(m) for m in mean), scale=tuple(scale))


def _pixels(summary: ImageSummary, scale: float) -> ImageEncoding:
    channels = len(summary.levels)
    return ImageEncoding(mean=(0.0,) * channels, scale=(scale,) * channels)
