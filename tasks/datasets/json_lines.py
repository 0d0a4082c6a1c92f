"""JSON lines: an object of numbers, strings, booleans and nulls on every line."""

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from tasks.contracts.errors import DataError
from tasks.datasets.column_types import unified
from tasks.datasets.source import first_line, open_bytes

LINES = 8192
KINDS: dict[type, pa.DataType] = {
    type(None): pa.null(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
}
Row = dict[str, Any]


def infer(path: Path) -> pa.Schema:
    """Names and types over all lines, names in the order of their first appearance.

    Raises:
        DataError: naming the line that is no flat JSON object.
    """
    seen: dict[str, set[type]] = {}
    for numbers, rows in _rows(path):
        _collect(path, seen, numbers, rows)
    if not seen:
        raise DataError(f"{path.name} is empty, but must hold one JSON object a line: choose another source")
    return pa.schema([(name, _type_of(kinds)) for name, kinds in seen.items()])


def read(path: Path, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The named columns as the schema's types; a missing key is a missing cell."""
    wanted = pa.schema([schema.field(name) for name in columns])
    for numbers, rows in _rows(path):
        arrays = [_column(path, field, numbers, [row.get(field.name) for row in rows]) for field in wanted]
        yield pa.record_batch(arrays, schema=wanted)


def _rows(path: Path) -> Iterator[tuple[list[int], list[Row]]]:
    with open_bytes(path) as file:
        lines = enumerate(file, start=1)
        while some := list(islice(lines, LINES)):
            filled = [(number, line) for number, line in some if line.strip()]
            yield [number for number, _ in filled], [_parsed(path, number, line) for number, line in filled]


def _parsed(path: Path, number: int, line: bytes) -> Row:
    try:
        row = orjson.loads(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
    except orjson.JSONDecodeError as error:
        raise DataError(
            f"line {number} of {path.name} is no JSON ({first_line(error)}), but must be: mend it"
        ) from error
    if not isinstance(row, dict):
        raise DataError(
            f"line {number} of {path.name} is a JSON {type(row).__name__}, but must be an object: "
            'write {"column": value, ...} on each line'
        )
    return row


def _collect(path: Path, seen: dict[str, set[type]], numbers: list[int], rows: list[Row]) -> None:
    for number, row in zip(numbers, rows, strict=True):
        for name, value in row.items():
            kind = type(value)
            if kind not in KINDS:
                raise DataError(
                    f"column {name!r} in line {number} of {path.name} holds a JSON {kind.__name__}, but must hold "
                    "numbers, strings or booleans: flatten it"
                )
            seen.setdefault(name, set()).add(kind)


def _type_of(kinds: set[type]) -> pa.DataType:
    return reduce(unified, (KINDS[kind] for kind in KINDS if kind in kinds), pa.null())


def _column(path: Path, field: pa.Field, numbers: list[int], values: list[Any]) -> pa.Array:
    if pa.types.is_floating(field.type):
        values = [None if value is None else float(value) for value in values]
    elif pa.types.is_string(field.type):
        values = [
            value if value is None or isinstance(value, str) else orjson.dumps(value).decode() for value in values
        ]
    try:
        return pa.array(values, field.type)
    except (OverflowError, pa.ArrowInvalid) as error:
        limit = 2**63
        row = next((i for i, v in enumerate(values) if isinstance(v, int) and not -limit <= v < limit), 0)
        raise DataError(
            f"column {field.name!r} in line {numbers[row]} of {path.name} is {values[row]}, but must fit into 64 bits: "
            "write it as a float or a string"
        ) from error
