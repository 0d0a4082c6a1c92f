"""CSV in blocks of 16 MiB, each parsed by all cores.

pyarrow's own streaming reader parses on one core (75 MB in 0.62 s, against 0.25 s for its whole-file reader and 0.17 s
for polars), so the blocks are cut here, at the last line end outside quotes, and given to the whole-file reader.

In a column of words only the empty cell is missing; among numbers also NA, NaN, null and the like (pyarrow's list).
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv

from tasks.contracts.errors import DataError
from tasks.datasets.column_types import unified
from tasks.datasets.source import BATCH_BYTES, BATCH_ROWS, TypesTooNarrow, first_line, open_bytes, refuse_undecodable

GLANCE_BYTES = 1 << 21
LONGEST_ROW = 4 * BATCH_BYTES
TRUE, FALSE = ["true", "True", "TRUE"], ["false", "False", "FALSE"]
"""Without pyarrow's "1" and "0": a column that mixes them with words is no column of booleans."""


def infer(path: Path) -> pa.Schema:
    """Names from the first line, types from the first 2 MiB; `scan` looks at all rows."""
    return next(_inferred(path, GLANCE_BYTES))


def scan(path: Path) -> pa.Schema:
    """Names from the first line, types that fit every row."""
    found = _inferred(path)
    schema = next(found)
    for block in found:
        schema = pa.schema([(field.name, unified(field.type, block.field(field.name).type)) for field in schema])
    return schema


def read(path: Path, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The named columns as the schema's types, in batches of at most 65,536 rows.

    Raises:
        TypesTooNarrow: if a cell does not fit its column's type.
        DataError: naming the row, if it has more or fewer cells than the header, or the line, if it is not UTF-8.
    """
    convert = _convert({field.name: field.type for field in schema}, list(columns))
    with ThreadPoolExecutor(1) as ahead, open_bytes(path) as file:
        names, delimiter, blocks = _opened(path, file)
        pending: Future[pa.Table] | None = None
        for block in chain(blocks, [None]):
            coming = ahead.submit(_parse, path, block, names, delimiter, convert) if block else None
            if pending:
                yield from pending.result().combine_chunks().to_batches(BATCH_ROWS)
            pending = coming


def _inferred(path: Path, glance: int = BATCH_BYTES) -> Iterator[pa.Schema]:
    with open_bytes(path) as file:
        names, delimiter, blocks = _opened(path, file)
        for whole in blocks:
            block = whole[: _row_end(whole[:glance])] or whole
            schema = _parse(path, block, names, delimiter, _convert()).schema
            if any(pa.types.is_binary(field.type) for field in schema):
                refuse_undecodable(path)
            yield schema


def _opened(path: Path, file: BinaryIO) -> tuple[list[str], str, Iterator[bytes]]:
    blocks = _blocks(path, file)
    first = next(blocks, b"").removeprefix(b"\xef\xbb\xbf")
    if not first.strip():
        raise DataError(f"{path.name} is empty, but must hold a header line and rows: choose another source")
    end = _header_end(first)
    names, delimiter = _header(path, first[:end])
    body = first[end:]
    filled = (block for block in chain([body], blocks) if block[:64].strip(b"\r\n") or block.strip(b"\r\n"))
    first_rows = next(filled, None)
    if first_rows is None:
        raise DataError(f"{path.name} holds a header but no rows, but must hold both: choose another source")
    return names, delimiter, chain([first_rows], filled)


def _header_end(block: bytes) -> int:
    end = block.find(b"\n") + 1
    while end and block.count(b'"', 0, end) % 2:
        end = block.find(b"\n", end) + 1
    return end or len(block)


def _header(path: Path, line: bytes) -> tuple[list[str], str]:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        refuse_undecodable(path)
        raise
    delimiter = max(",;\t|", key=text.count)
    names = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    if all(re.fullmatch(r"\s*[-+]?[\d.]+(e[-+]?\d+)?\s*", name, re.IGNORECASE) for name in names):
        raise DataError(
            f"line 1 of {path.name} is {text.strip()[:60]!r}, but must name the columns: put a header line before it"
        )
    return names, delimiter


def _blocks(path: Path, file: BinaryIO) -> Iterator[bytes]:
    rest = b""
    while chunk := file.read(BATCH_BYTES):
        data = rest + chunk
        end = _row_end(data)
        if not end and len(data) > LONGEST_ROW:
            # A stray quote makes all that follows look quoted; then any line end must do.
            end = data.rfind(b"\n") + 1
            if not end:
                raise DataError(f"{path.name} has a row beyond 64 MiB, but must hold lines: is it really CSV?")
        if end:
            yield data[:end]
        rest = data[end:]
    if rest:
        yield rest


def _row_end(data: bytes) -> int:
    end = data.rfind(b"\n") + 1
    # Looking for one quote is a hundred times faster than counting them, and most blocks hold none.
    quotes = data.count(b'"', 0, end) if b'"' in data else 0
    while end and quotes % 2:
        earlier = data.rfind(b"\n", 0, data.rfind(b'"', 0, end)) + 1
        quotes -= data.count(b'"', earlier, end)
        end = earlier
    return end


def _convert(types: dict[str, pa.DataType] | None = None, columns: list[str] | None = None) -> pa.csv.ConvertOptions:
    return pa.csv.ConvertOptions(
        column_types=types, include_columns=columns, true_values=TRUE, false_values=FALSE, strings_can_be_null=False
    )


def _parse(path: Path, block: bytes, names: list[str], delimiter: str, convert: pa.csv.ConvertOptions) -> pa.Table:
    parse = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=b'"' in block)
    # Parsing blocks are 1/16 of ours: several cores each get some; a longer row needs them whole.
    for size in (BATCH_BYTES // 16, 2 * LONGEST_ROW):
        options = pa.csv.ReadOptions(column_names=names, block_size=size)
        try:
            return pa.csv.read_csv(pa.BufferReader(block), options, parse, convert)
        except pa.ArrowInvalid as error:
            if "straddl" in str(error):
                continue
            if "invalid UTF8" in str(error):
                refuse_undecodable(path)
            if "conversion error" in str(error):
                raise TypesTooNarrow(
                    f"{path.name} changes while it is read ({first_line(error)}), but must not: try again"
                ) from error
            _refuse_ragged(path, delimiter, error)
    raise DataError(f"{path.name} has a row beyond 64 MiB, but must hold lines: is it really CSV?")


def _refuse_ragged(path: Path, delimiter: str, error: pa.ArrowInvalid) -> None:
    """Reads again on one core, which is slower but counts the rows."""
    refuse_undecodable(path)
    ragged: list[pa.csv.InvalidRow] = []

    def remember(row: pa.csv.InvalidRow) -> str:
        ragged.append(row)
        return "error"

    parse = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=remember)
    options = pa.csv.ReadOptions(use_threads=False, block_size=2 * LONGEST_ROW)
    everything = pa.csv.ConvertOptions(include_columns=[])
    with open_bytes(path) as file:
        try:
            for _ in pa.csv.open_csv(file, options, parse, everything):
                pass
        except pa.ArrowInvalid:
            if ragged:
                row = ragged[0]
                raise DataError(
                    f"row {row.number - 1} of {path.name} has {row.actual_columns} cells, but must have "
                    f"{row.expected_columns} like the header: mend or remove {row.text[:60]!r}"
                ) from error
    raise DataError(f"{path.name} cannot be read as CSV, but must be: {first_line(error)}") from error
