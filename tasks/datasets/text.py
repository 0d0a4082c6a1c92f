"""Labelled text, a row a line: the label, then a tab or a blank, then the text. UTF-8.

Real collections hold a stray byte here and there (TREC has one in 5,952 lines): up to one line in a hundred may, its
bytes are read as U+FFFD, and a warning says so. More is another encoding, and refused.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from tasks.contracts.errors import DataError
from tasks.datasets.labels import named, named_type
from tasks.datasets.source import PART_NAMES, Part, Source, open_bytes, refuse_undecodable, stem

LINES = 8192


STRAY_SHARE = 0.01
STRAY = "\N{REPLACEMENT CHARACTER}"


class _Glance(NamedTuple):
    """What a first look at a file shows."""

    labels: set[str]
    warnings: tuple[str, ...]


def open_text(name: str, files: Sequence[Path]) -> Source:
    """One or more files of such lines; one called train, test or validation is a part of that side.

    Raises:
        DataError: naming the line that has no label or no text, or is not UTF-8.
    """
    glances = [_glance(path) for path in files]
    columns = pa.schema([("text", pa.string()), ("label", named_type(set().union(*(one.labels for one in glances))))])
    parts = tuple(Part(path.name, PART_NAMES.get(stem(path)), partial(_read, path, columns)) for path in files)
    return Source(name, "text", columns, parts, warnings=tuple(warning for one in glances for warning in one.warnings))


def _glance(path: Path) -> _Glance:
    labels, rows, stray = set(), 0, []
    for rows, line in enumerate(_lines(path), start=1):  # noqa: B007 - the last number is the count
        labels.add(line.label)
        if line.stray:
            stray.append(line.number)
    if not rows:
        raise DataError(f"{path.name} is empty, but must hold 'label text' lines: choose another source")
    if len(stray) > STRAY_SHARE * rows:
        refuse_undecodable(path)
    odd = f"{len(stray)} of {rows} lines of {path.name} are not UTF-8, first line {stray[0]}" if stray else ""
    return _Glance(labels, (odd,) if odd else ())


def _read(path: Path, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    lines = _lines(path)
    while some := list(islice(lines, LINES)):
        texts = pa.array([line.text for line in some], pa.string())
        labels = named([line.label for line in some], schema.field("label").type)
        yield pa.record_batch([texts, labels], schema=schema).select(columns)


class _Line(NamedTuple):
    number: int
    label: str
    text: str
    stray: bool
    """Whether it is not UTF-8."""


def _lines(path: Path) -> Iterator[_Line]:
    separator = ""
    with open_bytes(path) as file:
        for number, raw in enumerate(file, start=1):
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8", errors="replace").rstrip("\r\n")
            if line.strip():
                # The first line decides: in a file with tabs, a blank separates nothing.
                separator = separator or ("\t" if "\t" in line else " ")
                label, text = _split(path, number, line, separator)
                yield _Line(number, label, text, STRAY in line and STRAY.encode() not in raw)


def _split(path: Path, number: int, line: str, separator: str) -> tuple[str, str]:
    label, found, text = line.partition(separator)
    if STRAY in label:
        refuse_undecodable(path)
    if not found or not label.strip():
        between = "tab" if separator == "\t" else "blank"
        raise DataError(
            f"line {number} of {path.name} is {line[:60]!r}, but must be a label, a {between} and a text: "
            "give it a label, or remove it"
        )
    return label.strip(), text.strip()
