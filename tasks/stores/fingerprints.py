"""Whether a source still holds what it held, told without reading it where its keeper tells."""

import hashlib
from pathlib import Path

import httpx

from tasks.contracts.errors import DataError, UnavailableError
from tasks.contracts.record import canonical_json, sha256_hex
from tasks.stores.s3 import Store
from tasks.stores.sources import TIMEOUT_SECONDS

PIECE_BYTES = 2**20


def fingerprint(store: Store, source: str) -> str:
    """SHA-256 that changes with the content of a source; empty if nobody can tell without reading all of it.

    A path is told by names and bytes, `s3://` by keys, sizes and ETags, `http(s)://` by a strong ETag.

    Args:
        store: Reads s3:// sources, from any bucket.
        source: A path, or an s3:// or http(s):// address.

    Raises:
        DataError: There is no such source.
        UnavailableError: A server did not answer.
    """
    scheme = source.partition("://")[0].lower() if "://" in source else ""
    if scheme == "s3":
        return _digest([[found.key, found.size_bytes, found.etag] for found in store.source_objects(source)])
    if scheme in {"http", "https"}:
        return _of_web(source)
    return "" if scheme else _on_disk(Path(source))


def _digest(facts: list[list[object]]) -> str:
    return sha256_hex(canonical_json(facts))


def _on_disk(path: Path) -> str:
    if not path.exists():
        raise DataError(f"source is '{path}', but there is nothing there: look at it from {Path.cwd()}")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    try:
        return _digest([[file.relative_to(path).as_posix(), _content(file)] for file in files])
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}), but must be: check its rights") from error


def _content(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _of_web(url: str) -> str:
    try:
        answer = httpx.head(url, timeout=TIMEOUT_SECONDS, follow_redirects=True)
    except httpx.InvalidURL:
        return ""  # whoever reads it says what is wrong
    except httpx.HTTPError as error:
        raise UnavailableError(
            f"{url} did not answer ({type(error).__name__}): check the address and try again"
        ) from error
    etag = answer.headers.get("etag", "")
    strong = answer.is_success and etag and not etag.startswith("W/")
    return _digest([[url, etag]]) if strong else ""
