"""Whether a graph answers like the torch network it was made from.

`sweep` holds logits against logits at several batch sizes, where a pinned batch or a mistranslated operator shows.
`torch_answers` says without ONNX what a whole graph must answer; `agreement` counts how often a candidate does.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx
import torch
from torch import nn

from tasks.contracts.errors import GraphError
from tasks.contracts.schema import Encoding, Schema
from tasks.exporters.answer import Loss
from tasks.runtime.session import Session, load

BATCHES = (1, 2, 7, 32)
VALUE_TOLERANCE = 1e-3


class Agreement(NamedTuple):
    """How alike two sets of answers are."""

    share: float
    """Of equal labels; for regression, of values within 1e-3 of the target's scale."""
    largest_difference: float
    """Of a probability, or of a value in units of the target's scale."""


def sweep(
    graph: onnx.ModelProto | bytes,
    module: nn.Module,
    inputs: np.ndarray,
    batches: Sequence[int] = BATCHES,
    tolerance: float = 1e-4,
) -> float:
    """Runs graph and network on batches of each size and compares the logits; returns their largest difference.

    Args:
        graph: From `encoded` to `logits`.
        module: What it was exported from.
        inputs: Encoded rows; taken again from the start where a batch asks for more than there are.
        batches: Sizes to try.
        tolerance: Largest difference allowed, for logits larger than 1 relative to their size.

    Raises:
        GraphError: If a batch does not run, or a logit differs by more.
    """
    session = load(graph if isinstance(graph, bytes) else graph.SerializeToString())
    largest = 0.0
    for size in batches:
        rows = inputs[np.arange(size) % len(inputs)]
        largest = max(largest, _compare(session, module, rows, tolerance))
    return largest


def logits_of(module: nn.Module, rows: np.ndarray, rows_at_once: int = 1024) -> np.ndarray:
    """The torch network's logits (N, K) in evaluation mode; the mode is put back to what it was."""
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            chunks = [
                module(torch.from_numpy(np.ascontiguousarray(rows[start : start + rows_at_once])))
                for start in range(0, len(rows), rows_at_once)
            ]
    finally:
        module.train(was_training)
    return np.asarray(torch.cat(chunks).numpy())


def torch_answers(
    module: nn.Module, encoded: np.ndarray, schema: Schema, encoding: Encoding, loss: Loss
) -> dict[str, np.ndarray]:
    """What the torch network answers to encoded rows, in the words of a whole graph."""
    return answers(logits_of(module, encoded), schema, encoding, loss)


def answers(logits: np.ndarray, schema: Schema, encoding: Encoding, loss: Loss) -> dict[str, np.ndarray]:
    """What a whole graph must answer for these logits, reckoned in float64 and without ONNX.

    Args:
        logits: (N, K), or (N, 1) for bce and mse.
        schema: Holds the labels.
        encoding: Holds the target's mean and scale.
        loss: What the network was trained on.
    """
    exact = logits.astype(np.float64)
    if loss == "mse":
        target = encoding.target
        value = exact[:, 0] if target is None else exact[:, 0] * target.scale + target.mean
        return {"value": value.astype(np.float32)}
    if loss == "bce":
        exact = np.concatenate([np.zeros_like(exact), exact], axis=1)  # softmax of (0, x) is sigmoid of x
    powers = np.exp(exact - exact.max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    labels = np.array(schema.labels, dtype=np.int64 if isinstance(schema.labels[0], int) else object)
    return {"label": labels[probabilities.argmax(axis=1)], "probabilities": probabilities.astype(np.float32)}


def agreement(
    found: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    encoding: Encoding,
    tolerance: float = VALUE_TOLERANCE,
) -> Agreement:
    """How alike two sets of answers to the same rows are.

    Args:
        found: `label` and `probabilities`, or `value`.
        expected: The same of the reference.
        encoding: Holds the target's scale.
        tolerance: Values closer than so many of the target's scale count as alike; labels must be equal.
    """
    scale = encoding.target.scale if encoding.target else 1.0
    if "value" in expected:
        differences = np.abs(found["value"].astype(np.float64) - expected["value"]) / scale
        return Agreement(float(np.mean(differences <= tolerance)), float(differences.max()))
    same = found["label"] == expected["label"]
    apart = np.abs(found["probabilities"].astype(np.float64) - expected["probabilities"])
    return Agreement(float(np.mean(same)), float(apart.max()))


def _compare(session: Session, module: nn.Module, rows: np.ndarray, tolerance: float) -> float:
    size = len(rows)
    try:
        found = session.run({"encoded": rows})["logits"]
    except GraphError as error:
        raise GraphError(
            f"the graph does not run on a batch of {size}, but must run on any: "
            f"look for a fixed batch size in a view or reshape ({error})"
        ) from error
    expected = logits_of(module, rows)
    if found.shape != expected.shape:
        raise GraphError(f"the graph gives {found.shape} for a batch of {size}, but torch gives {expected.shape}")
    differences = np.abs(found.astype(np.float64) - expected)
    excess = differences - tolerance * np.maximum(1.0, np.abs(expected))
    if not np.all(excess <= 0):  # also where one side is not a number
        row, logit = np.unravel_index(np.argmax(np.nan_to_num(excess, nan=np.inf)), excess.shape)
        raise GraphError(
            f"the graph differs from torch by {differences[row, logit]:.3g} at row {row}, logit {logit} of a batch of "
            f"{size}, but must stay within {tolerance:g}: look for an operator that depends on the batch"
        )
    return float(differences.max())
