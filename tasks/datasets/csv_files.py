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
PIECE_BYTES = 1 << 21
LONGEST_ROW = 4 * BATCH_BYTES
TRUE, FALSE = ["true", "True", "TRUE"], ["false", "False", "FALSE"]
"""Without pyarrow's "1" and "0": a column that mixes them with words is no column of booleans."""


def infer(path: Path) -> pa.Schema:
    """Names from the first line, types from the first 2 MiB; `scan` looks at all rows."""
    return next(_inferred(path, GLANCE_BYTES))


def scan(path: Path) -> pa.Schema:
    """Names from the first line, types that fit every row."""
    found = _inferred(path, BATCH_BYTES)
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
        names, delimiter, blocks = _opened(path, file, BATCH_BYTES)
        pending: Future[pa.Table] | None = None
        for block in chain(blocks, [None]):
            coming = ahead.submit(_parse, path, block, names, delimiter, convert) if block else None
            if pending:
                yield from pending.result().to_batches(BATCH_ROWS)
            pending = coming


def _inferred(path: Path, size: int) -> Iterator[pa.Schema]:
    with open_bytes(path) as file:
        names, delimiter, blocks = _opened(path, file, size)
        for block in blocks:
            schema = _parse(path, block, names, delimiter, _convert()).schema
            if any(pa.types.is_binary(field.type) for field in schema):
                refuse_undecodable(path)
            yield schema


def _opened(path: Path, file: BinaryIO, size: int) -> tuple[list[str], str, Iterator[bytes]]:
    blocks = _blocks(path, file, size)
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


def _blocks(path: Path, file: BinaryIO, size: int) -> Iterator[bytes]:
    """Whole rows of at least so many bytes, cut at line ends outside quotes."""
    while data := file.read(size):
        pieces, length = [data], len(data)
        # Looking for one quote is a hundred times faster than counting them, and most blocks hold none.
        quoted = data.count(b'"') % 2 == 1 if b'"' in data else False
        # A stray quote makes all that follows look quoted: beyond the longest row any line end must do.
        while (quoted and length < LONGEST_ROW) or not pieces[-1].endswith(b"\n"):
            line = file.readline(LONGEST_ROW)
            if not line:
                break
            if len(line) == LONGEST_ROW:
                raise DataError(f"{path.name} has a row beyond 64 MiB, but must hold lines: is it really CSV?")
            pieces.append(line)
            length += len(line)
            quoted ^= line.count(b'"') % 2 == 1
        yield b"".join(pieces)


def _convert(types: dict[str, pa.DataType] | None = None, columns: list[str] | None = None) -> pa.csv.ConvertOptions:
    return pa.csv.ConvertOptions(
        column_types=types, include_columns=columns, true_values=TRUE, false_values=FALSE, strings_can_be_null=False
    )


def _parse(path: Path, block: bytes, names: list[str], delimiter: str, convert: pa.csv.ConvertOptions) -> pa.Table:
    parse = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=b'"' in block)
    # Several cores each parse some pieces of the block; a row longer than a piece needs it whole.
    for size in (PIECE_BYTES, 2 * LONGEST_ROW):
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
