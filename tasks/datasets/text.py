"""Labelled text, a row a line: the label, then a tab or a blank, then the text. UTF-8."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow as pa

from tasks.contracts.errors import DataError
from tasks.datasets.labels import named, named_type
from tasks.datasets.source import PART_NAMES, Part, Source, open_bytes, stem

LINES = 8192


def open_text(name: str, files: Sequence[Path]) -> Source:
    """One or more files of such lines; one called train, test or validation is a part of that side.

    Raises:
        DataError: naming the line that has no label or no text, or is not UTF-8.
    """
    labels = {label for path in files for label in _labels(path)}
    columns = pa.schema([("text", pa.string()), ("label", named_type(labels))])
    parts = tuple(Part(path.name, PART_NAMES.get(stem(path)), partial(_read, path, columns)) for path in files)
    return Source(name, "text", columns, parts)


def _labels(path: Path) -> set[str]:
    labels = {label for label, _ in _lines(path)}
    if not labels:
        raise DataError(f"{path.name} is empty, but must hold 'label text' lines: choose another source")
    return labels


def _read(path: Path, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    lines = _lines(path)
    while some := list(islice(lines, LINES)):
        labels, texts = zip(*some, strict=True)
        arrays = [pa.array(texts, pa.string()), named(labels, schema.field("label").type)]
        yield pa.record_batch(arrays, schema=schema).select(columns)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    separator = ""
    with open_bytes(path) as file:
        for number, raw in enumerate(file, start=1):
            line = _decoded(path, number, raw)
            if line.strip():
                # The first line decides: in a file with tabs, a blank separates nothing.
                separator = separator or ("\t" if "\t" in line else " ")
                yield _split(path, number, line, separator)


def _decoded(path: Path, number: int, raw: bytes) -> str:
    try:
        line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"line {number} of {path.name} holds byte 0x{error.object[error.start]:02x}, but must be UTF-8: "
            "save the file as UTF-8"
        ) from error
    return line.rstrip("\r\n")


def _split(path: Path, number: int, line: str, separator: str) -> tuple[str, str]:
    label, found, text = line.partition(separator)
    if not found or not label.strip():
        between = "tab" if separator == "\t" else "blank"
        raise DataError(
            f"line {number} of {path.name} is {line[:60]!r}, but must be a label, a {between} and a text: "
            "give it a label, or remove it"
        )
    return label.strip(), text.strip()
