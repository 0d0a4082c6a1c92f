"""Layer-wise fallback: the layers that int8 hurts most stay in float, as few as the bound allows.

First every layer alone is turned to int8, which ranks them by how far the logits move; then the touchiest are left in
float, one, two, four and so on, until the loss is inside the bound, and the number is bisected. So L layers cost L
cheap passes over the calibration set, whose ranges are found once, and about 2 log2(L) measurements of the loss.

Source: Wu et al. 2020, Integer Quantization for Deep Learning Inference, section 5, partial quantization
(arXiv 2004.09602).
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx

from tasks.compressors.calibration import CalibrationReader
from tasks.compressors.number_format import canonical, prepare
from tasks.compressors.static import PRODUCTS, Operators, quantize_static
from tasks.runtime.session import load
from tasks.runtime.slices import run_in_slices

Loss = Literal["mse", "cross_entropy", "bce"]
Lose = Callable[[onnx.ModelProto], float]
"""What a network loses against float; a bound on it is in the same unit."""

MOST_RANKED = 48
"""Larger networks are ranked in so many runs of neighbouring layers."""
MOST_CHANGED = 0.002
"""Share of answers that may change: a bound for `changed_answers` that no loss of 0.2 points can pass."""


@dataclass(frozen=True)
class Mixed:
    """A network of which some layers are int8.

    Attributes:
        network: The network; the float one itself, where every layer had to stay.
        kept_float: Names of the layers that are float, the touchiest first.
        loss: What it loses.
    """

    network: onnx.ModelProto
    kept_float: tuple[str, ...]
    loss: float


def keep_touchiest_float(
    network: onnx.ModelProto,
    calibration: np.ndarray,
    lose: Lose,
    bound: float,
    *,
    operators: Operators | None = None,
    reduce_range: bool | None = None,
) -> Mixed:
    """The network in static int8 but for the layers that would lose too much.

    Args:
        network: From `encoded` to `logits`; stays as it is.
        calibration: Encoded rows (N, ...) of the training split.
        lose: Measures a network; called about 2 log2(layers) times, never on the float network.
        bound: Largest loss allowed.
        operators: As in `static`; None takes all in image networks, products elsewhere.
        reduce_range: As in `static`.

    Raises:
        ConfigError: If there are no rows, or one that is not a number.
        GraphError: If the quantizer cannot read the network.
    """
    CalibrationReader(calibration)  # refuses rows that are of no use, before they are
    ready = prepare(network)
    tried: dict[int, tuple[onnx.ModelProto, float]] = {}
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        cache, kinds = Path(folder) / "ranges.json", operators or operators_of(network)

        def quantized(only: Sequence[str] = (), keep_float: Sequence[str] = ()) -> onnx.ModelProto:
            return quantize_static(
                ready,
                calibration,
                operators=kinds,
                only=only,
                keep_float=keep_float,
                reduce_range=reduce_range,
                cache=cache,
                scheme="mixed",
            )

        groups = ranked(ready, calibration, quantized)

        def is_within(kept: int) -> bool:
            model = quantized(keep_float=[name for group in groups[:kept] for name in group])
            tried[kept] = (model, lose(model))
            return tried[kept][1] <= bound

        kept = fewest(len(groups), is_within)
    model, loss = tried.get(kept, (network, 0.0))
    return Mixed(canonical(model, network, "mixed"), tuple(name for group in groups[:kept] for name in group), loss)


def mixed(network: onnx.ModelProto, calibration: np.ndarray, rows: np.ndarray, loss: Loss) -> Mixed:
    """The network in static int8 but for as many layers as keep all but `MOST_CHANGED` of its answers.

    Args:
        network: From `encoded` to `logits`; stays as it is.
        calibration: Encoded rows (N, ...) of the training split, to find ranges.
        rows: The same, to count answers.
        loss: What the network was trained on, which says what its logits mean.

    Raises:
        ConfigError: If there are no rows, or one that is not a number.
        GraphError: If the quantizer cannot read the network.
    """
    return keep_touchiest_float(network, calibration, changed_answers(network, rows, loss), MOST_CHANGED)


def ranked(
    network: onnx.ModelProto, rows: np.ndarray, quantized: Callable[[Sequence[str]], onnx.ModelProto]
) -> list[tuple[str, ...]]:
    """Runs of layers by how far int8 in them alone moves the logits, the touchiest first.

    Args:
        network: As of `number_format.prepare`.
        rows: Encoded rows (N, ...).
        quantized: The network with the named nodes alone in int8.
    """
    names = _layers(network.graph)
    chunks = np.array_split(np.array(names, dtype=object), max(1, min(len(names), MOST_RANKED)))
    groups = [tuple(chunk) for chunk in chunks if len(chunk)]
    exact = logits_of(network, rows)
    moved = {group: float(np.mean((logits_of(quantized(group), rows) - exact) ** 2)) for group in groups}
    return sorted(groups, key=lambda group: -moved[group])


def fewest(count: int, is_within: Callable[[int], bool]) -> int:
    """The fewest of `count` layers that must stay in float; `count` where no fewer will do.

    >>> fewest(20, lambda kept: kept >= 5), fewest(20, lambda kept: False), fewest(20, lambda kept: True)
    (5, 20, 0)
    """
    low, high = -1, 0
    while high < count and not is_within(high):
        low, high = high, max(1, 2 * high)
    high = min(high, count)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_within(middle) else (middle, high)
    return high


def _layers(graph: onnx.GraphProto) -> list[str]:
    """The nodes that can be int8; a Gather of shapes cannot."""
    weights = {each.name for each in graph.initializer if each.data_type == onnx.TensorProto.FLOAT}
    return [
        node.name
        for node in graph.node
        if node.op_type in PRODUCTS and (node.op_type != "Gather" or node.input[0] in weights)
    ]


def operators_of(network: onnx.ModelProto) -> Operators:
    """What fits the network: in image networks everything between convolutions too, elsewhere the products.

    Residual sums and pools in float would cost a conversion at both sides; norms and softmax in int8 cost accuracy
    (1.5 points on a Transformer).
    """
    types = {node.op_type for node in network.graph.node}
    return "all" if "Conv" in types and not types & {"Gather", "Softmax", "LSTM", "GRU"} else "products"


def changed_answers(network: onnx.ModelProto, rows: np.ndarray, loss: Loss) -> Lose:
    """Measures the share of rows that another network answers otherwise; needs no targets.

    No metric can fall by more than this share. For mse it is the root mean square of the change, in units of the
    target's scale.

    Args:
        network: In float.
        rows: Encoded rows (N, ...), of the training split.
        loss: What the network was trained on, which says what its logits mean.
    """
    exact = logits_of(network, rows)

    def lose(other: onnx.ModelProto) -> float:
        found = logits_of(other, rows)
        if loss == "mse":
            return float(np.sqrt(np.mean((found - exact) ** 2)))
        answers, expected = (each > 0 if loss == "bce" else each.argmax(1) for each in (found, exact))
        return float(np.mean(answers != expected))

    return lose


def logits_of(network: onnx.ModelProto, rows: np.ndarray) -> np.ndarray:
    """The graph's logits (N, K), by ONNX Runtime."""
    return run_in_slices(load(network.SerializeToString()), {"encoded": rows})["logits"]
