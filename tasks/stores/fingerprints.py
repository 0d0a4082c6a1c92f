"""Whether a source still holds what it held, told without reading it where its keeper tells."""

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from tasks.contracts.errors import DataError
from tasks.contracts.record import canonical_json, sha256_hex
from tasks.contracts.secrets import masked
from tasks.stores import web
from tasks.stores.s3 import Store

PIECE_BYTES = 2**20
MUTE = (401, 403, 405, 501)
"""What a server answers that lets nobody ask for the head alone; a link signed for GET is refused so as well."""
SIGNATURES = {"x-amz-signature", "x-goog-signature", "signature", "sig"}
SIGNER = re.compile(
    r"x-(amz|goog)-.*|signature|awsaccesskeyid|googleaccessid|expires|policy|key-pair-id"  # S3, Google, CloudFront
    r"|sig|s[etvrp]|spr|sip|sdd|sk(oid|tid|t|e|s|v)"  # Azure
)
"""Parameters of a signed link that another signature changes."""


def fingerprint(store: Store, source: str) -> str:
    """SHA-256 that changes with the content of a source; empty if nobody can tell without reading all of it.

    A path is told by names and bytes, `s3://` by keys, sizes and ETags, `http(s)://` by a strong ETag.

    Args:
        store: Reads s3:// sources, from any bucket.
        source: A path, an s3:// or http(s):// address, or env:// and the variable that holds one.

    Raises:
        DataError: There is no such source.
        UnavailableError: A server did not answer.
    """
    address = web.address_of(source)
    scheme = address.partition("://")[0].lower() if "://" in address else ""
    if scheme == "s3":
        return _digest([[found.key, found.size_bytes, found.etag] for found in store.source_objects(source)])
    if scheme in {"http", "https"}:
        return _of_web(address, source)
    return "" if scheme else _on_disk(Path(source))


def _digest(facts: list[list[object]]) -> str:
    return sha256_hex(canonical_json(facts))


def _on_disk(path: Path) -> str:
    try:
        if not path.exists():
            raise DataError(f"source is '{path}', but there is nothing there: look at it from {Path.cwd()}")
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        return _digest([[_name(file, path), _content(file)] for file in files])
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}), but must be: check its rights") from error


def _name(file: Path, folder: Path) -> str:
    """Any bytes may be a name."""
    return os.fsencode(file.relative_to(folder).as_posix()).decode("utf-8", "backslashreplace")


def _content(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _of_web(address: str, source: str) -> str:
    """By the address without what signs it: a link that is signed anew leads to the same."""
    with web.asked("HEAD", address, source, "source") as answer:
        status, etag = answer.status_code, answer.headers.get("etag", "")
    if status in MUTE:
        return ""
    web.refuse(source, status)
    return _digest([[masked(_unsigned(address)), etag]]) if etag and not etag.startswith("W/") else ""


def _unsigned(address: str) -> str:
    parts = urlsplit(address)
    pairs = [pair for pair in parts.query.split("&") if pair]
    names = [pair.partition("=")[0].lower() for pair in pairs]
    if not SIGNATURES.intersection(names):
        return address
    kept = [pair for name, pair in zip(names, pairs, strict=True) if not SIGNER.fullmatch(name)]
    return parts._replace(query="&".join(kept)).geturl()
