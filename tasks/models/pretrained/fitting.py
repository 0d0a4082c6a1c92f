"""How a model and the data fit each other, found by trying: which reading runs, and what the answers are."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import ModelError
from tasks.contracts.schema import NumberEncoding
from tasks.models.pretrained.answer import Answer, answer_of, as_columns, fitting_widths
from tasks.models.pretrained.reading import Reading, Wanted, readings

BATCHES = (1, 7)
FREE_BATCH = "export it anew with a free batch axis (dynamic_shapes of torch, dynamic_axes of older exporters)"


def fitted(
    model: nn.Module,
    wanted: Wanted,
    rows: np.ndarray,
    *,
    name: str,
    architecture: Architecture,
    loss: str,
    target: NumberEncoding | None,
) -> tuple[Reading, Answer]:
    """The first reading that the model answers rightly to, and what its answers are.

    Raises:
        ModelError: Shapes, numbers of answers or batch sizes do not fit, or it answers NaN.
    """
    encoded = torch.as_tensor(np.ascontiguousarray(rows))
    _refuse_fractions(wanted, name, encoded)
    widths = fitting_widths(architecture.output_size, loss)
    possible = readings(architecture.input_shape, wanted)
    if not possible:
        raise ModelError(
            f"train.source {name} takes rows of shape {_said(wanted.shape)}, but the data have "
            f"{architecture.input_shape}: bring a model for these data, or choose other features"
        )
    reading = _first_that_runs(model, possible, name, encoded, widths)
    for size in BATCHES:
        _tried(model, reading, name, encoded[torch.arange(size) % len(encoded)])
    raw = as_columns(_tried(model, reading, name, encoded))
    if not raw.isfinite().all():
        raise ModelError(f"train.source {name} answers NaN or infinity to the training rows: look at ingest.scaling")
    return reading, answer_of(raw, architecture.output_size, loss, target)


def _first_that_runs(
    model: nn.Module, possible: list[Reading], name: str, encoded: Tensor, widths: tuple[int, ...]
) -> Reading:
    refusals = []
    for reading in possible:
        try:
            raw = as_columns(_tried(model, reading, name, encoded[torch.arange(7) % len(encoded)]))
        except ModelError as error:
            refusals.append(error)
            continue
        if raw.shape[1] in widths:
            return reading
        refusals.append(_wrong_width(name, raw.shape[1], widths))
    raise refusals[0]


def _wrong_width(name: str, width: int, widths: tuple[int, ...]) -> ModelError:
    asked = " or ".join(str(each) for each in widths)
    return ModelError(
        f"train.source {name} answers {width} columns a row, but the data ask for {asked}: "
        "a column for each class, or one value for a regression"
    )


def _tried(model: nn.Module, reading: Reading, name: str, rows: Tensor) -> Tensor:
    """What the model answers to these rows, one answer a row."""
    try:
        with torch.no_grad():
            answer: Any = model(reading(rows))
    except Exception as error:  # a foreign model may raise anything
        why = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()[:200]
        raise ModelError(
            f"train.source {name} does not run on {len(rows)} rows of shape {tuple(rows.shape[1:])} ({why}), "
            f"but must on any number: {FREE_BATCH}"
        ) from error
    if not isinstance(answer, Tensor):
        raise ModelError(f"train.source {name} answers {type(answer).__name__}, but must answer one tensor: wrap it")
    if answer.ndim == 0 or len(answer) != len(rows):
        raise ModelError(
            f"train.source {name} answers {len(rows)} rows by shape {tuple(answer.shape)}, but must give one answer "
            f"a row: {FREE_BATCH}"
        )
    return answer


def _refuse_fractions(wanted: Wanted, name: str, encoded: Tensor) -> None:
    if wanted.whole and not bool((encoded == encoded.round()).all()):
        raise ModelError(
            f"train.source {name} takes whole numbers, but the encoded rows hold fractions: set ingest.scaling to none"
        )


def _said(shape: tuple[int | None, ...] | None) -> str:
    return "any" if shape is None else f"({', '.join('any' if size is None else str(size) for size in shape)})"
