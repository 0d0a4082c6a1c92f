"""The `/predict` dialect: rows of named features in, labels with probabilities (or a value) out.

`{"inputs": [{"age": 41, "city": "Oslo"}]}` gives `[{"label": 3, "probabilities": {"0": 0.01, ...}}]` or
`[{"value": 12.3}]`; an image stands under `image` as nested lists, a text under `text`.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from deployments.serving.json_body import parse_object
from deployments.serving.library import Served
from deployments.serving.question import Arrays, Question, finite
from deployments.serving.refusal import Refusal, clipped, shown
from deployments.serving.reply import Reply, json_reply
from deployments.serving.tensors import Place, flatten, place_at, to_array
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


def read_rows(served: Served, body: bytes) -> Question:
    """Reads named features.

    Raises:
        Refusal: If a feature is missing, unknown, null or of another type, or there are no rows.
    """
    signature = served.manifest.signature
    rows = _rows(parse_object(body))

    def word(outputs: Arrays) -> Reply:
        told = answers(signature, finite(outputs))
        return json_reply({"model": served.model, "version": served.version, "outputs": told})

    return Question(arrays(signature, rows, "inputs"), len(rows), word)


def arrays(signature: Signature, rows: list[Any], field: str) -> dict[str, np.ndarray]:
    """Rows of named features as the tensors that carry them.

    Args:
        signature: What the model takes.
        rows: At least one.
        field: Where they stand in the body.

    Raises:
        Refusal: If a feature is missing, unknown, null or of another type.
    """
    known = frozenset(key for tensor in signature.inputs for key in keys_of(tensor))
    for index, row in enumerate(rows):
        if type(row) is not dict:
            raise _no_row(f"{field}[{index}]", row, known)
        if row.keys() != known:
            raise _wrong_keys(f"{field}[{index}]", row, signature)
    return {tensor.name: _column(tensor, rows, field) for tensor in signature.inputs}


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


def _no_row(place: str, row: Any, known: frozenset[str]) -> Refusal:
    message = f"{place} is {shown(row)}, but must be an object of features: {', '.join(sorted(known)[:20])}"
    return Refusal("wrong_type", message, field=place)


def _wrong_keys(row_place: str, row: dict[str, Any], signature: Signature) -> Refusal:
    known = [key for tensor in signature.inputs for key in keys_of(tensor)]
    listed = set(known)
    for name in row:
        if name not in listed:
            place = f"{row_place}.{clipped(name)}"
            return Refusal("unknown_feature", f"{place}: {unknown_name('feature', clipped(name), known)}", field=place)
    name = next(key for key in known if key not in row)
    place = f"{row_place}.{name}"
    message = f"{place} is missing, but every row must name all features{_or_null(name, signature)}"
    return Refusal("missing_feature", message, field=place)


def _or_null(name: str, signature: Signature) -> str:
    for tensor in signature.inputs:
        for key, nullable in zip(keys_of(tensor), tensor.nullable, strict=False):
            if key == name and nullable:
                return ": send null if it is not known"
    return ": send its value"


def _column(tensor: Tensor, rows: list[dict[str, Any]], field: str) -> np.ndarray:
    keys, shape = keys_of(tensor), item_shape(tensor)
    if shape:
        return _items(tensor, [row[keys[0]] for row in rows], lambda index: f"{field}[{index}].{keys[0]}", shape)
    values = [row[key] for row in rows for key in keys]

    def place(index: int) -> str:
        row, column = divmod(index, len(keys))
        return f"{field}[{row}].{keys[column]}"

    return to_array(tensor, values, place).reshape(len(rows), *tensor.shape[1:])


def _items(tensor: Tensor, items: list[Any], place: Place, shape: tuple[int, ...]) -> np.ndarray:
    values: list[Any] = []
    for index, item in enumerate(items):
        if type(item) is not list:
            message = f"{place(index)} is {shown(item)}, but must be nested lists of shape {list(shape)}"
            raise Refusal("missing_value" if item is None else "wrong_type", message, field=place(index))
        values += flatten(item, shape, place(index))
    size = prod(shape)
    return to_array(tensor, values, lambda index: place_at(place(index // size), index % size, shape)).reshape(
        len(items), *shape
    )
