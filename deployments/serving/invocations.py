"""The `/invocations` dialect: what MLflow's scoring server takes, as its clients send it.

One of `dataframe_split`, `dataframe_records`, `instances` and `inputs`, or CSV with a header. The answer is
`{"predictions": [...]}`, one record a row with the graph's outputs by name: `{"label": 3, "probabilities": [...]}` or
`{"value": 12.3}`. MLflow answers a frame so and a tensor column by column; here it is always records, because a
record can hold a row of probabilities. A gap is null, an empty CSV cell, or the NaN that MLflow's client writes.
Source: https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/#json-input
"""

import csv
import io
from collections.abc import Callable
from math import isnan, prod
from typing import Any

import numpy as np

from deployments.serving.json_body import parse_object, with_null_for_nan
from deployments.serving.library import Served
from deployments.serving.named_features import arrays, keys_of
from deployments.serving.question import Arrays, Question, finite
from deployments.serving.refusal import Refusal, clipped, shown
from deployments.serving.reply import Reply, json_reply
from deployments.serving.tensors import flatten, is_nested, place_at, to_array
from tasks.contracts.errors import unknown_name
from tasks.contracts.signature import Datatype, Signature, Tensor

Inputs = dict[str, np.ndarray]

CSV = b"text/csv"
_PASSED_OVER = frozenset(("params",))
_GAPS = frozenset(("", "nan", "NaN", "NA", "null", "None"))
"""What pandas reads as missing, and writes."""


def read_invocation(served: Served, body: bytes) -> Question:
    """Reads JSON of MLflow's scoring protocol.

    Raises:
        Refusal: If it is not exactly one of the four forms, or does not fit the signature.
    """
    content = parse_object(with_null_for_nan(body))
    signature = served.manifest.signature
    named = [key for key in content if key not in _PASSED_OVER]
    for key in named:
        if key not in _FORMS:
            raise Refusal("unknown_field", unknown_name("field", clipped(key), _FORMS), field=clipped(key))
    if len(named) != 1:
        said = " and ".join(named) or "nothing"
        raise Refusal("missing_field", f"the body has {said}, but must have one of {', '.join(_FORMS)}: see /docs")
    form = named[0]
    return _question(served, _FORMS[form](signature, content[form], form))


def read_csv(served: Served, body: bytes) -> Question:
    """Reads CSV whose first line names the columns.

    Raises:
        Refusal: If it is not UTF-8, not CSV, or does not fit the signature.
    """
    signature = served.manifest.signature
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except UnicodeDecodeError as error:
        raise Refusal("not_csv", f"the body is not UTF-8 at byte {error.start}, but must be: encode it so") from error
    except csv.Error as error:
        raise Refusal("not_csv", f"the body is not CSV ({error}), but must be: quote as RFC 4180 says") from error
    lines = [line for line in lines if line]
    if not lines:
        raise Refusal("empty_inputs", "the body is empty, but must have a line of column names, and rows")
    columns, rows = lines[0], lines[1:]
    readers = _readers(signature, columns)
    for index, row in enumerate(rows):
        if len(row) != len(columns):
            raise _wrong_width(f"csv[{index}]", len(row), len(columns))
    read = [[reader(cell) for reader, cell in zip(readers, row, strict=True)] for row in rows]
    return _question(served, _frame(signature, columns, read, "csv"))


def _question(served: Served, inputs: Inputs) -> Question:
    names = [tensor.name for tensor in served.manifest.signature.outputs]

    def word(outputs: Arrays) -> Reply:
        finite(outputs)
        columns = [outputs[name].tolist() if outputs[name].ndim == 1 else outputs[name] for name in names]
        return json_reply({"predictions": [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]})

    return Question(inputs, len(next(iter(inputs.values()))), word)


def _split(signature: Signature, value: Any, field: str) -> Inputs:
    if type(value) is not dict or type(value.get("data")) is not list:
        message = f"{field} is {shown(value)}, but must be an object with columns and data"
        raise Refusal("wrong_type", message, field=field)
    columns, rows = value.get("columns"), value["data"]
    if columns is not None and type(columns) is not list:
        message = f"{field}.columns is {shown(columns)}, but must be a list of names"
        raise Refusal("wrong_type", message, field=f"{field}.columns")
    for index, row in enumerate(rows):
        if type(row) is not list:
            message = f"{field}.data[{index}] is {shown(row)}, but must be a list of values"
            raise Refusal("wrong_type", message, field=f"{field}.data[{index}]")
        if columns is not None and len(row) != len(columns):
            raise _wrong_width(f"{field}.data[{index}]", len(row), len(columns))
    return _frame(signature, columns, rows, f"{field}.data")


def _frame(signature: Signature, columns: list[Any] | None, rows: list[list[Any]], field: str) -> Inputs:
    """Rows by the names of their columns; a frame without names, as of a matrix, is read by place."""
    if columns is None or _are_places(columns) or _is_image_table(signature, columns):
        return {(tensor := _only(signature, field)).name: _tensor(tensor, rows, field)}
    if len(set(map(str, columns))) != len(columns):
        message = f"{field} has a column name twice, but every column must have a name of its own"
        raise Refusal("duplicate_column", message, field=field)
    names = [str(name) for name in columns]
    return _records(signature, [dict(zip(names, row, strict=True)) for row in rows], field)


def _records(signature: Signature, value: Any, field: str) -> Inputs:
    if type(value) is not list:
        raise Refusal("wrong_type", f"{field} is {shown(value)}, but must be a list of rows", field=field)
    if not value:
        raise Refusal("empty_inputs", f"{field} is empty, but must hold at least one row", field=field)
    return arrays(signature, value, field)


def _values(signature: Signature, value: Any, field: str) -> Inputs:
    """Rows, or the one tensor, or one list for each tensor or column."""
    if type(value) is dict:
        return _columns(signature, value, field)
    if type(value) is list and value and type(value[0]) is not dict:
        return {(tensor := _only(signature, field)).name: _tensor(tensor, value, field)}
    return _records(signature, value, field)


def _columns(signature: Signature, value: dict[str, Any], field: str) -> Inputs:
    tensors = {tensor.name: tensor for tensor in signature.inputs}
    for name, column in value.items():
        if type(column) is not list:
            place = f"{field}.{clipped(name)}"
            raise Refusal("wrong_type", f"{place} is {shown(column)}, but must be a list, one item a row", field=place)
    lengths = {len(column) for column in value.values()}
    if len(lengths) > 1:
        message = f"{field} has columns of {sorted(lengths)[:5]} rows, but all must have as many"
        raise Refusal("wrong_shape", message, field=field)
    if lengths and value.keys() == tensors.keys():
        return {name: _tensor(tensor, value[name], f"{field}.{name}") for name, tensor in tensors.items()}
    return _records(signature, [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)], field)


def _tensor(tensor: Tensor, rows: list[Any], field: str) -> np.ndarray:
    """A tensor of as many rows as there are; a row of it may be flat."""
    if not rows:
        raise Refusal("empty_inputs", f"{field} is empty, but must hold at least one row", field=field)
    shape = written = (len(rows), *tensor.shape[1:])
    if len(shape) > 1 and type(rows[0]) is list and not is_nested(rows[0]):
        written = (len(rows), prod(tensor.shape[1:]))
    if len(written) > 1 and not is_nested(rows):
        message = f"{field}[0] is {shown(rows[0])}, but must be a row of shape {list(shape[1:])}"
        raise Refusal("wrong_shape", message, field=f"{field}[0]")
    values = flatten(rows, written, field)
    return to_array(tensor, values, lambda index: place_at(field, index, written)).reshape(shape)


def _only(signature: Signature, field: str) -> Tensor:
    if len(signature.inputs) == 1:
        return signature.inputs[0]
    names = ", ".join(tensor.name for tensor in signature.inputs)
    message = f"{field} has values without names, but this model must be told which is which: name {names}"
    raise Refusal("missing_name", message, field=field)


def _are_places(columns: list[Any]) -> bool:
    return bool(columns) and type(columns[0]) is int and columns == list(range(len(columns)))


def _is_image_table(signature: Signature, columns: list[Any]) -> bool:
    """Whether each column is one pixel of the image that is the only input."""
    first = signature.inputs[0]
    return len(signature.inputs) == 1 and len(first.shape) > 2 and len(columns) == prod(first.shape[1:])


def _readers(signature: Signature, columns: list[str]) -> list[Callable[[str], Any]]:
    datatypes: dict[str, Datatype] = {key: tensor.datatype for tensor in signature.inputs for key in keys_of(tensor)}
    default = signature.inputs[0].datatype
    return [_READERS[datatypes.get(name, default)] for name in columns]


def _number(cell: str) -> Any:
    """A cell as a number, a gap as null, and anything else as it is, for the sentence that refuses it."""
    if cell in _GAPS:
        return None
    try:
        value = float(cell)
    except ValueError:
        return cell
    return cell if "_" in cell or isnan(value) else value


def _whole_number(cell: str) -> Any:
    sign, digits = (cell[:1], cell[1:]) if cell[:1] in "+-" else ("", cell)
    if cell in _GAPS:
        return None
    return int(sign + digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else cell


def _string(cell: str) -> str | None:
    return cell or None


def _wrong_width(place: str, width: int, wanted: int) -> Refusal:
    message = f"{place} has {width} values, but must have {wanted}, one for each column"
    return Refusal("wrong_shape", message, field=place)


_FORMS: dict[str, Callable[[Signature, Any, str], Inputs]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _values,
    "inputs": _values,
}
_READERS: dict[Datatype, Callable[[str], Any]] = {
    "FP32": _number,
    "INT64": _whole_number,
    "UINT8": _whole_number,
    "BYTES": _string,
}
