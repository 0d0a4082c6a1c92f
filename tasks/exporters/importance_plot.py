"""What drives the answers, as one figure: bars, and for images the heat maps and a few examples."""

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tasks.contracts.explanation import Explanation, Influence
from tasks.exporters.importance import Explained

MOST_BARS = 20
LONGEST_NAME = 32


def drawn(explained: Explained) -> bytes:
    """The figure as PNG."""
    image = io.BytesIO()
    importance_plot(explained).savefig(image, format="png")
    return image.getvalue()


def importance_plot(explained: Explained) -> Figure:
    """The figure of an explanation that has influences."""
    explanation = explained.explanation
    if not explanation.heat_maps:
        return _bars(explanation)
    columns = max(len(explanation.heat_maps), 2 * len(explained.images), 2)
    figure = Figure(figsize=(1.3 * columns, 3.6), layout="constrained")
    axes = figure.subplots(2, columns)
    for each in axes.flat:
        each.axis("off")
    for place, (label, values) in zip(axes[0], explanation.heat_maps.items(), strict=False):
        place.imshow(np.asarray(values), cmap="viridis")
        place.set_title(label[:LONGEST_NAME], fontsize=8, parse_math=False)
    for number, (image, attribution, label) in enumerate(explained.images):
        _example(axes[1, 2 * number], axes[1, 2 * number + 1], image, attribution, label)
    figure.suptitle(
        "Mean absolute attribution by class that is answered; below, examples (red speaks for, blue against)",
        fontsize=9,
    )
    return figure


def _bars(explanation: Explanation) -> Figure:
    shown = [*explanation.influences[:MOST_BARS], *explanation.together[:5]][::-1]
    figure = Figure(figsize=(7.2, 1.2 + 0.24 * len(shown)), layout="constrained")
    axes = figure.subplots()
    means = np.array([each.mean for each in shown])
    errors = np.array([(each.mean - each.low, each.high - each.mean) for each in shown]).reshape(-1, 2).T
    alone = len(explanation.together[:5])
    colours = ["tab:orange"] * alone + ["tab:blue"] * (len(shown) - alone)
    axes.barh(range(len(shown)), means, xerr=errors, color=colours, error_kw={"elinewidth": 0.8})
    axes.set_yticks(range(len(shown)), [_name(each) for each in shown], fontsize=7, parse_math=False)
    axes.axvline(0, color="black", linewidth=0.6)
    axes.set_xlabel(explanation.unit, fontsize=8, parse_math=False)
    axes.set_title("What drives the answers" + (" (orange: shuffled together)" if alone else ""), fontsize=10)
    return figure


def _name(each: Influence) -> str:
    name = each.name if len(each.name) <= LONGEST_NAME else f"{each.name[: LONGEST_NAME - 3]}..."
    return f"{name} for {each.label[:LONGEST_NAME]}" if each.label else name


def _example(left: Any, right: Any, image: np.ndarray, attribution: np.ndarray, label: str) -> None:
    left.imshow(image.squeeze(), cmap=None if image.squeeze().ndim > 2 else "gray")
    left.set_title(f"as {label}"[:LONGEST_NAME] if label else "", fontsize=8, parse_math=False)
    most = float(np.abs(attribution).max()) or 1.0
    right.imshow(attribution, cmap="seismic", vmin=-most, vmax=most)
