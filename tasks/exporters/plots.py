"""Plots of one run, each a matplotlib figure. No pyplot: its global state is not safe in Prefect's threads."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from tasks.contracts.verdict import Measurement
from tasks.runtime.pareto import front, loss

SIZE_INCHES = (6.4, 4.2)
MOST_CLASSES_WITH_NUMBERS = 20


def learning_curve(train: Sequence[float], validation: Sequence[float]) -> Figure:
    """Loss by epoch, on both splits."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    epochs = np.arange(1, len(train) + 1)
    axes.plot(epochs, train, label="train")
    axes.plot(epochs, validation, label="validation")
    axes.set(xlabel="epoch", ylabel="loss", title="Learning curve")
    if min(*train, *validation) > 0:
        axes.set_yscale("log")
    axes.legend()
    return figure


def confusion_matrix(counts: np.ndarray, labels: Sequence[object]) -> Figure:
    """Rows are the truth, columns the answers; each row is shaded by its share."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the true class")
    axes.set(xlabel="answered", ylabel="true", title="Confusion matrix")
    if len(labels) <= MOST_CLASSES_WITH_NUMBERS:
        names = [str(label)[:16] for label in labels]
        axes.set_xticks(range(len(labels)), names, rotation=45, ha="right", parse_math=False)
        axes.set_yticks(range(len(labels)), names, parse_math=False)
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=7, color=colour)
    return figure


def residuals(truth: np.ndarray, answered: np.ndarray) -> Figure:
    """Answer against truth; the line is where they agree."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    axes.scatter(truth, answered, s=6, alpha=0.4)
    ends = [float(min(truth.min(), answered.min())), float(max(truth.max(), answered.max()))]
    axes.plot(ends, ends, color="black", linewidth=0.8)
    axes.set(xlabel="true", ylabel="answered", title="Answers and truth")
    return figure


def pareto(measurements: Sequence[Measurement], winner: str, metric_name: Literal["accuracy", "rmse"]) -> Figure:
    """The metric against bytes and against latency, one point a candidate; the fronts of both are drawn.

    The winner is ringed, what breaks the budget is grey; names stand at the front, all others in the table.
    """
    figure = Figure(figsize=(2 * SIZE_INCHES[0], SIZE_INCHES[1]), layout="constrained")
    by_size, by_time = figure.subplots(1, 2, sharey=True)
    _trade(by_size, measurements, [float(m.size_bytes) for m in measurements], winner, metric_name)
    _trade(by_time, measurements, [m.p50_ms for m in measurements], winner, metric_name)
    by_size.set(xscale="log", xlabel="bytes on disk", ylabel=metric_name, title="Candidates (the winner is ringed)")
    by_time.set(xscale="log", xlabel="p50 in ms", title="The same by latency")
    return figure


def _trade(
    axes: Any,
    measurements: Sequence[Measurement],
    costs: Sequence[float],
    winner: str,
    metric_name: Literal["accuracy", "rmse"],
) -> None:
    """One panel: cost to the right, metric upwards; only the winner and the panel's front are named."""
    on_front = front([(cost, loss(metric_name, m.metric)) for m, cost in zip(measurements, costs, strict=True)])
    for m, cost, on in zip(measurements, costs, on_front, strict=True):
        colour = "tab:blue" if m.within_budget else "lightgrey"
        error = [[m.metric - m.metric_low], [m.metric_high - m.metric]]
        axes.errorbar(cost, m.metric, yerr=error, fmt="o", color=colour, elinewidth=0.8)
        if on or m.name == winner:
            axes.annotate(m.name, (cost, m.metric), textcoords="offset points", xytext=(5, 4), fontsize=7)
        if m.name == winner:
            axes.scatter([cost], [m.metric], s=160, facecolors="none", edgecolors="tab:red", linewidths=1.5)
    points = sorted((cost, m.metric) for m, cost, on in zip(measurements, costs, on_front, strict=True) if on)
    axes.step(*zip(*points, strict=True), where="post", color="tab:blue", linewidth=0.8, alpha=0.6)
