"""The `/predict` dialect: rows of named features in, labels with probabilities (or a value) out.

`{"inputs": [{"age": 41, "city": "Oslo"}]}` gives `[{"label": 3, "probabilities": {"0": 0.01, ...}}]` or
`[{"value": 12.3}]`; an image stands under `image` as nested lists, a text under `text`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deployments.serving.library import Served
from deployments.serving.question import Arrays, Question, finite
from deployments.serving.refusal import Refusal, clipped, shown
from deployments.serving.tensors import flatten, place_at, to_array
from tasks.contracts.errors import unknown_name
from tasks.contracts.signature import Signature, Tensor


def keys_of(tensor: Tensor) -> tuple[str, ...]:
    """The names under which a row carries this tensor: its columns if it is a matrix of them, else its own."""
    return tensor.columns if _is_matrix(tensor) else (tensor.name,)


def item_shape(tensor: Tensor) -> tuple[int, ...]:
    """The shape of what stands under one key of a row: () for a number or a string, (H, W) for an image."""
    return () if _is_matrix(tensor) else tensor.shape[1:]


def named(inputs: Sequence[Tensor], row: Mapping[str, Any]) -> dict[str, Any]:
    """One row of a golden batch, tensor by tensor, as this dialect writes it."""
    features: dict[str, Any] = {}
    for tensor in inputs:
        keys, value = keys_of(tensor), row[tensor.name]
        is_row_of_columns = len(tensor.shape) == 2 and not item_shape(tensor)
        features |= dict(zip(keys, value if is_row_of_columns else [value], strict=True))
    return features


def _is_matrix(tensor: Tensor) -> bool:
    return tensor.datatype != "UINT8" and tensor.shape[1:] == (len(tensor.columns),)


def read_rows(served: Served, body: dict[str, Any]) -> Question:
    """Reads named features.

    Raises:
        Refusal: If a feature is missing, unknown, null or of another type, or there are no rows.
    """
    signature = served.manifest.signature
    rows = _rows(body)
    known = frozenset(key for tensor in signature.inputs for key in keys_of(tensor))
    for index, row in enumerate(rows):
        if type(row) is not dict:
            raise _no_row(index, row, known)
        if row.keys() != known:
            raise _wrong_keys(index, row, signature)
    inputs = {tensor.name: _column(tensor, rows) for tensor in signature.inputs}

    def word(outputs: Arrays) -> Any:
        return {"model": served.model, "version": served.version, "outputs": answers(signature, finite(outputs))}

    return Question(inputs, len(rows), word)


def answers(signature: Signature, outputs: Arrays) -> list[dict[str, Any]]:
    """One answer a row."""
    if "probabilities" not in outputs:
        return [{"value": value} for value in outputs["value"].reshape(-1)]
    names = [str(label) for label in signature.labels]
    rows = zip(outputs["label"].tolist(), outputs["probabilities"], strict=True)
    return [{"label": label, "probabilities": dict(zip(names, row, strict=True))} for label, row in rows]


def _rows(body: dict[str, Any]) -> list[Any]:
    for key in body:
        if key != "inputs":
            raise Refusal("unknown_field", unknown_name("field", clipped(key), ["inputs"]), field=clipped(key))
    rows = body.get("inputs")
    if type(rows) is not list:
        message = f"inputs is {shown(rows)}, but must be a list of rows: see /docs for an example"
        raise Refusal("wrong_type" if "inputs" in body else "missing_field", message, field="inputs")
    if not rows:
        raise Refusal("empty_inputs", "inputs is empty, but must hold at least one row", field="inputs")
    return rows


def _no_row(index: int, row: Any, known: frozenset[str]) -> Refusal:
    message = f"inputs[{index}] is {shown(row)}, but must be an object of features: {', '.join(sorted(known)[:20])}"
    return Refusal("wrong_type", message, field=f"inputs[{index}]")


def _wrong_keys(index: int, row: dict[str, Any], signature: Signature) -> Refusal:
    known = [key for tensor in signature.inputs for key in keys_of(tensor)]
    listed = set(known)
    for name in row:
        if name not in listed:
            place = f"inputs[{index}].{clipped(name)}"
            return Refusal("unknown_feature", f"{place}: {unknown_name('feature', clipped(name), known)}", field=place)
    name = next(key for key in known if key not in row)
    place = f"inputs[{index}].{name}"
    message = f"{place} is missing, but every row must name all features{_or_null(name, signature)}"
    return Refusal("missing_feature", message, field=place)


def _or_null(name: str, signature: Signature) -> str:
    for tensor in signature.inputs:
        for key, nullable in zip(keys_of(tensor), tensor.nullable, strict=False):
            if key == name and nullable:
                return ": send null if it is not known"
    return ": send its value"


def _column(tensor: Tensor, rows: list[dict[str, Any]]) -> np.ndarray:
    keys, shape = keys_of(tensor), item_shape(tensor)
    if shape:
        return _items(tensor, rows, keys[0], shape)
    values = [row[key] for row in rows for key in keys]

    def place(index: int) -> str:
        row, column = divmod(index, len(keys))
        return f"inputs[{row}].{keys[column]}"

    return to_array(tensor, values, place).reshape(len(rows), *tensor.shape[1:])


def _items(tensor: Tensor, rows: list[dict[str, Any]], key: str, shape: tuple[int, ...]) -> np.ndarray:
    values: list[Any] = []
    for index, row in enumerate(rows):
        if type(row[key]) is not list:
            place = f"inputs[{index}].{key}"
            message = f"{place} is {shown(row[key])}, but must be nested lists of shape {list(shape)}"
            raise Refusal("missing_value" if row[key] is None else "wrong_type", message, field=place)
        values += flatten(row[key], shape, f"inputs[{index}].{key}")
    size = len(values) // len(rows)
    return to_array(
        tensor, values, lambda index: place_at(f"inputs[{index // size}].{key}", index % size, shape)
    ).reshape(len(rows), *shape)
