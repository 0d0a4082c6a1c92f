"""The golden batch: raw rows whose answers are known. A version that answers them otherwise may not serve."""

import time
from typing import Any

import numpy as np

from deployments.serving.refusal import Refusal
from deployments.serving.tensors import flatten, place_at, to_array
from tasks.contracts.errors import GraphError
from tasks.contracts.manifest import Manifest
from tasks.contracts.signature import Signature, Tensor
from tasks.runtime.session import Session

_TIMED_RUNS = 3
_SLOW_SECONDS = 0.0005
_COMPANY = 32
_ALIKE = 1e-6
"""Largest difference, relative to the largest answer, that the order of a sum may make."""


def replay(session: Session, manifest: Manifest) -> float:
    """Warms a session on the golden batch and holds its answers against the recorded ones.

    Returns:
        The seconds that one row costs, once warm.

    Raises:
        GraphError: If the graph has other tensors than the manifest says, or another answer.
    """
    check_signature(session, manifest.signature)
    inputs = golden_inputs(manifest)
    outputs = session.run(inputs)
    for tensor in manifest.signature.outputs:
        _compare(tensor, outputs[tensor.name], manifest)
    return _row_seconds(session, inputs)


def check_signature(session: Session, signature: Signature) -> None:
    """Holds the graph's tensors against the manifest's.

    Raises:
        GraphError: If a name or a datatype differs.
    """
    for what, graph, manifest in (
        ("inputs", session.inputs, signature.inputs),
        ("outputs", session.outputs, signature.outputs),
    ):
        have = {tensor.name: tensor.datatype for tensor in graph}
        want = {tensor.name: tensor.datatype for tensor in manifest}
        if have != want:
            raise GraphError(
                f"the graph's {what} are {have}, but must be {want} as the manifest says: publish it again"
            )


def golden_inputs(manifest: Manifest) -> dict[str, np.ndarray]:
    """The golden rows as arrays.

    Raises:
        GraphError: If they do not fit the signature.
    """
    batch = manifest.golden.inputs
    rows = len(next(iter(batch.values()), []))
    if rows == 0 or batch.keys() != {tensor.name for tensor in manifest.signature.inputs}:
        raise GraphError(
            f"the golden batch has inputs {sorted(batch)}, but must have rows for every input of the model"
        )
    return {tensor.name: _array(tensor, batch[tensor.name], rows) for tensor in manifest.signature.inputs}


def _array(tensor: Tensor, data: list[Any], rows: int) -> np.ndarray:
    shape, field = (rows, *tensor.shape[1:]), f"golden.{tensor.name}"
    try:
        values = flatten(data, shape, field)
        return to_array(tensor, values, lambda index: place_at(field, index, shape)).reshape(shape)
    except Refusal as error:
        raise GraphError(str(error)) from error


def _compare(tensor: Tensor, answer: np.ndarray, manifest: Manifest) -> None:
    try:
        expected = np.array(manifest.golden.outputs.get(tensor.name, []), dtype=answer.dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise GraphError(f"golden {tensor.name} is no array of {tensor.datatype}: publish it again") from error
    if expected.shape != answer.shape:
        raise GraphError(
            f"the golden batch is answered with {tensor.name} of shape {list(answer.shape)}, "
            f"but must be with {list(expected.shape)}: this version does not serve"
        )
    if tensor.datatype != "FP32":
        wrong = int((answer != expected).sum())
        if wrong:
            raise GraphError(f"{wrong} of {answer.size} golden {tensor.name}s differ, but none may: not served")
        return
    _compare_numbers(tensor, answer, expected, manifest.golden.tolerance)


def _compare_numbers(tensor: Tensor, answer: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    # A probability is at most 1; values are held against the largest of the batch, so one near zero has room.
    scale = 1.0 if tensor.name == "probabilities" else max(float(np.abs(expected).max()), float(np.finfo("f4").tiny))
    difference = float(np.abs(answer - expected).max())
    if not difference <= tolerance * scale:
        raise GraphError(
            f"a golden {tensor.name} is off by {difference:.3g}, but must be within {tolerance * scale:.3g}: not served"
        )


def answers_alike_together(session: Session, manifest: Manifest) -> bool:
    """Whether golden rows get the same answers together as each alone.

    A graph that quantizes its activations while it runs takes their range from the whole batch: there a row's answer
    depends on its company, and requests must not share a run. One row proves nothing.
    """
    inputs = golden_inputs(manifest)
    rows = len(next(iter(inputs.values())))
    together = session.run(inputs)
    alone = [session.run({name: array[row : row + 1] for name, array in inputs.items()}) for row in range(rows)]
    return rows > 1 and all(
        _equal(answer, np.concatenate([each[name] for each in alone])) for name, answer in together.items()
    )


def _equal(together: np.ndarray, alone: np.ndarray) -> bool:
    if together.shape != alone.shape:
        return False
    if together.dtype.kind != "f":
        return bool((together == alone).all())
    scale = max(float(np.abs(alone).max()), float(np.finfo("f4").tiny))
    return bool((np.abs(together - alone) <= _ALIKE * scale).all())


def _row_seconds(session: Session, inputs: dict[str, np.ndarray]) -> float:
    """Of a quick row in company of many, for what every run costs is shared; a slow row shows itself alone."""
    one = _seconds(session, {name: array[:1] for name, array in inputs.items()})
    if one > _SLOW_SECONDS:
        return one
    many = {name: np.repeat(array[:1], _COMPANY, axis=0) for name, array in inputs.items()}
    return min(one, _seconds(session, many) / _COMPANY)


def _seconds(session: Session, inputs: dict[str, np.ndarray]) -> float:
    best = float("inf")
    for _ in range(_TIMED_RUNS):
        start = time.perf_counter()
        session.run(inputs)
        best = min(best, time.perf_counter() - start)
    return best
