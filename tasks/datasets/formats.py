"""Which format a source is written in, by its names and first bytes, and the door that opens it."""

from collections.abc import Sequence
from pathlib import Path

from tasks.contracts.config import Format, KnownFormat
from tasks.contracts.errors import DataError
from tasks.datasets.idx import is_idx, open_idx
from tasks.datasets.images import open_images
from tasks.datasets.npz import open_npz
from tasks.datasets.source import PART_NAMES, Source, in_order, open_bytes, stem
from tasks.datasets.tabular import open_table
from tasks.datasets.text import open_text

SUFFIXES: dict[str, KnownFormat] = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".npz": "npz",
    ".idx": "idx",
    ".txt": "text",
    ".png": "images",
    ".jpg": "images",
    ".jpeg": "images",
}
FIRST_BYTES: dict[bytes, KnownFormat] = {
    b"PAR1": "parquet",
    b"PK\x03\x04": "npz",
    b"\x89PNG": "images",
    b"\xff\xd8\xff": "images",
    b"\x00\x00\x08": "idx",
    b"{": "jsonl",
}
LOOK_BYTES = 1 << 16
MEND = "set format, or give csv, parquet, jsonl, npz, idx, txt, or a folder of images"


def open_source(path: Path, format: Format, max_bytes: int) -> Source:
    """Opens a file or folder.

    Raises:
        DataError: if it is missing, empty, larger than allowed, or of no known format.
    """
    if not path.exists():
        raise DataError(f"source {path} does not exist, but must be a file or folder: check ingest.source")
    path = path if path.name else path.resolve()  # "." has no name to be called by
    _check_size(path, max_bytes)
    form = detect(path) if format == "auto" else format
    if form == "images":
        if not path.is_dir():
            raise DataError(
                f"{path.name} is a single image, but must be a folder with a sub-folder for each class: give its folder"
            )
        return open_images(path)
    files = _files_of(path, form)
    match form:
        case "npz":
            if len(files) > 1:
                raise DataError(f"{path.name} holds {len(files)} NPZ archives, but must hold one: give its path")
            return open_npz(files[0])
        case "idx":
            return open_idx(path.name, files)
        case "text":
            return open_text(path.name, files)
        case _:
            return open_table(path.name, files, form)


def detect(path: Path) -> KnownFormat:
    """The format of a file, or of what a folder holds.

    Raises:
        DataError: if names and first bytes say nothing.
    """
    if not path.is_dir():
        return _detect_file(path)
    forms = {form for file in _visible_files(path) if (form := _named_format(file))}
    if not forms and any(child.is_dir() and not child.name.startswith(".") for child in path.iterdir()):
        return "images"
    if len(forms) == 1:
        return forms.pop()
    if len(forms) > 1:
        raise DataError(
            f"{path.name} holds files of {' and '.join(sorted(forms))}, but must hold one format: "
            "set format, or give one file"
        )
    raise DataError(f"{path.name} holds nothing usable, but must hold data: {MEND}")


def _detect_file(path: Path) -> KnownFormat:
    named = _named_format(path)
    if named:
        return named
    with open_bytes(path) as file:
        first = file.read(LOOK_BYTES)
    for magic, form in FIRST_BYTES.items():
        if first.startswith(magic):
            return form
    raise DataError(f"{path.name} is of no known format, but must be: {MEND}")


def _named_format(path: Path) -> KnownFormat | None:
    if is_idx(path):
        return "idx"
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    last = suffixes[-1] if suffixes else ""
    return _tabbed_format(path) if last == ".tsv" else SUFFIXES.get(last)


def _tabbed_format(path: Path) -> KnownFormat:
    """Of a .tsv: `label<TAB>text` lines if the first has one tab and no header's words, else a table."""
    with open_bytes(path) as file:
        first = file.readline(LOOK_BYTES).decode("utf-8", errors="replace").strip("\r\n")
    cells = first.split("\t")
    names = {"label", "target", "text", "sentence", "question", "class"}
    return "text" if len(cells) == 2 and not names & {cell.strip().lower() for cell in cells} else "csv"


def _visible_files(folder: Path) -> list[Path]:
    return in_order(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _files_of(path: Path, form: KnownFormat) -> Sequence[Path]:
    """The files to read: those named after splits alone, if there are such."""
    if not path.is_dir():
        return [path]
    files = [file for file in _visible_files(path) if _named_format(file) == form]
    if not files:
        raise DataError(f"{path.name} holds no {form} files, but must: {MEND}")
    sides = [file for file in files if stem(file) in PART_NAMES]
    return sides if sides and form != "idx" else files


def _check_size(path: Path, max_bytes: int) -> None:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    if not size:
        raise DataError(f"{path.name} is empty, but must hold data: choose another source")
    if size > max_bytes:
        raise DataError(
            f"{path.name} is {size} bytes, but max_bytes allows {max_bytes}: raise it, or choose a smaller source"
        )
