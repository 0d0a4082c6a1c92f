"""From the address of a source to a path on this machine: paths stay, s3:// and http(s):// are copied."""

from pathlib import Path, PurePosixPath

import httpx

from tasks.contracts.errors import DataError
from tasks.stores import web
from tasks.stores.s3 import Store


def local_source(store: Store, source: str, to: Path, max_bytes: int, *, field: str = "ingest.source") -> Path:
    """The file or folder of a source.

    Args:
        store: Reads s3:// sources, from any bucket.
        source: A path, an s3:// or http(s):// address, or env:// and the variable that holds one.
        to: The folder that copies go to.
        max_bytes: Refuse a source larger than this.
        field: Of the form, for the words of a refusal.

    Raises:
        DataError: There is no such source, or it is too large.
        UnavailableError: A server did not answer.
    """
    address = web.address_of(source, field)
    scheme = address.partition("://")[0].lower() if "://" in address else ""
    if scheme == "s3":
        return store.download(source, to, max_bytes)
    if scheme in {"http", "https"}:
        return _download(address, source, to, max_bytes, field)
    if scheme:
        raise DataError(f"{field} is {source!r}, but must be a path, s3:// or http(s)://: {scheme}:// is not read")
    return _on_disk(Path(source), max_bytes, field)


def _on_disk(path: Path, max_bytes: int, field: str) -> Path:
    try:
        if not path.exists():
            raise DataError(f"{field} is '{path}', but there is nothing there: look at it from {Path.cwd()}")
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        total = sum(file.stat().st_size for file in files)
    except OSError as error:
        raise DataError(
            f"{field} is '{path}', which cannot be read ({error.strerror}): check it and its rights"
        ) from error
    if total > max_bytes:
        raise DataError(f"{path} holds {total} bytes, but max_bytes is {max_bytes}: raise it, or name less data")
    return path


def _download(address: str, source: str, to: Path, max_bytes: int, field: str) -> Path:
    to.mkdir(parents=True, exist_ok=True)
    with web.asked("GET", address, source, field) as answer:
        path = to / (PurePosixPath(httpx.URL(address).path).name or "source")
        _refuse(source, answer, max_bytes)
        _copy(source, answer, path, max_bytes)
    return path


def _refuse(source: str, answer: httpx.Response, max_bytes: int) -> None:
    web.refuse(source, answer.status_code)
    announced = answer.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise DataError(f"{source} holds {announced} bytes, but max_bytes is {max_bytes}: raise it")


def _copy(source: str, answer: httpx.Response, path: Path, max_bytes: int) -> None:
    written = 0
    with path.open("wb") as file:
        for piece in answer.iter_bytes():
            written += len(piece)
            if written > max_bytes:
                raise DataError(f"{source} holds more than max_bytes, which is {max_bytes}: raise it")
            file.write(piece)
