"""A store in a local folder: what `Bucket` asks of an S3 client, answered by files. For work without servers.

`folder/<key>` holds an object; one under zstd is `folder/<key>.zst`, as the `zstd` tool names it. A write appears whole
or not at all: it is made aside and renamed, under a lock that all processes of the machine respect, so conditions hold.
An ETag is inode, time and size, since every write makes a new file.
"""

import base64
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from tasks.contracts.errors import IngotError, InputError, IntegrityError
from tasks.stores.s3.connection import PIECE_BYTES, Connection
from tasks.stores.s3.errors import ConditionFailedError, MissingError

SCHEME = "file://"

PRIVATE = ".ingot-store"
"""Holds the lock and unfinished writes; no key begins so."""

SUFFIXES = {"": "", "zstd": ".zst"}
"""What a file's name ends with, by the Content-Encoding of what it holds."""

WRONG_PLACE = (PermissionError, NotADirectoryError, FileExistsError)


class Body:
    """An open file, read as botocore's `StreamingBody` is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def iter_chunks(self, chunk_size: int) -> Iterator[bytes]:
        """The bytes, in pieces; closes the file behind them."""
        with self._file:
            while piece := self._file.read(chunk_size):
                yield piece


@dataclass(frozen=True)
class Folder:
    """The operations of an S3 client that a store uses, asked and answered as boto3 does; it is its own only bucket.

    Every operation raises InputError if the folder is not ours to use, and IngotError if the disk fails.
    """

    root: Path

    def put_object(self, *, Key: str, Body: bytes | BinaryIO, **how: str) -> dict[str, Any]:  # noqa: N803
        """Writes an object, if its condition holds and its bytes are those that the checksum says."""
        path = self._path(Key)
        with self._on_disk(), self._part() as part:
            found = _fill(part, Body)
            if base64.b64decode(how.get("ChecksumSHA256", "")) not in (b"", found):
                raise IntegrityError(f"{path} did not arrive as it was sent: did the file change meanwhile? try again")
            with self._locked():
                self._check(Key, how)
                path.parent.mkdir(parents=True, exist_ok=True)
                return {"ETag": self._place(Path(part.name), path, how.get("ContentEncoding", ""))}

    def get_object(self, *, Key: str, **_: str) -> dict[str, Any]:  # noqa: N803
        """An object, opened."""
        file, facts = self._open(Key)
        return {**facts, "Body": Body(file)}

    def head_object(self, *, Key: str, **_: str) -> dict[str, Any]:  # noqa: N803
        """What is known of an object without its bytes."""
        file, facts = self._open(Key)
        file.close()
        return facts

    def delete_object(self, *, Key: str, **_: str) -> dict[str, Any]:  # noqa: N803
        """Deletes an object; that there is none is fine."""
        path = self._path(Key)
        with self._on_disk(), self._locked():
            for suffix in SUFFIXES.values():
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        return {}

    def list_objects_v2(self, *, Prefix: str, **_: str) -> dict[str, Any]:  # noqa: N803
        """All objects whose keys begin so, in order, on one page."""
        top = self.root / Prefix.rpartition("/")[0]
        with self._on_disk():
            facts = {self._key(path): path.stat() for path in top.rglob("*") if path.is_file()}
        keys = sorted(key for key in facts if key.startswith(Prefix) and not key.startswith(PRIVATE))
        return {"IsTruncated": False, "Contents": [{"Key": key, **_listed(facts[key])} for key in keys]}

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if any(p in ("", ".", "..", PRIVATE) or "\0" in p for p in parts) or key.endswith(SUFFIXES["zstd"]):
            raise InputError(f"key is {key!r}, but must be a plain path that does not end in .zst: name it otherwise")
        return self.root.joinpath(*parts)

    def _key(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix().removesuffix(SUFFIXES["zstd"])

    def _open(self, key: str) -> tuple[BinaryIO, dict[str, Any]]:
        path = self._path(key)
        for encoding, suffix in SUFFIXES.items():
            with self._on_disk(), suppress(FileNotFoundError, IsADirectoryError):
                file = Path(f"{path}{suffix}").open("rb")  # noqa: SIM115 (the body closes it)
                found = os.fstat(file.fileno())
                facts = {"ETag": _etag(found), "ContentLength": found.st_size, "LastModified": _modified(found)}
                return file, {**facts, "ContentEncoding": encoding}
        raise MissingError(f"{path} does not exist: check the address")

    def _check(self, key: str, how: dict[str, str]) -> None:
        """Refuses a write whose condition does not hold."""
        standing = None
        with suppress(MissingError):
            standing = self.head_object(Key=key)["ETag"]
        if ("IfNoneMatch" in how and standing) or how.get("IfMatch", standing) != standing:
            raise ConditionFailedError(f"{self._path(key)} was written by somebody else first: read it again")

    def _place(self, part: Path, path: Path, encoding: str) -> str:
        """Gives a finished write its name; what stood there under another encoding goes."""
        placed = part.rename(f"{path}{SUFFIXES[encoding]}")
        for other in SUFFIXES.keys() - {encoding}:
            Path(f"{path}{SUFFIXES[other]}").unlink(missing_ok=True)
        return _etag(placed.stat())

    @contextmanager
    def _part(self) -> Iterator[Any]:
        private = self.root / PRIVATE
        private.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=private, delete=False) as part:
            try:
                yield part
            finally:
                Path(part.name).unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.root / PRIVATE / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # falls with the file, also when the process is killed
            yield

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except WRONG_PLACE as error:
            raise InputError(
                f"store is folder {self.root}, but must be one that we may read and write ({error.strerror}): "
                "name another"
            ) from error
        except OSError as error:
            raise IngotError(f"store in folder {self.root} failed ({error.strerror}): free some space") from error


def open_folder(address: str) -> Connection:
    """The connection to a store in a folder; touches nothing yet.

    Args:
        address: `file:///some/folder`.

    Raises:
        InputError: it names no folder.
    """
    parts = urlsplit(address)
    path = Path(unquote(parts.path))
    if parts.netloc or not path.is_absolute():
        raise InputError(f"bucket is {address!r}, but a folder must be file:///absolute/path: name it so")
    return Connection(Folder(path), str(path), "")


def _fill(part: BinaryIO, body: bytes | BinaryIO) -> bytes:
    """Copies a body into a file; returns its SHA-256."""
    digest = hashlib.sha256()
    for piece in [body] if isinstance(body, bytes) else iter(lambda: body.read(PIECE_BYTES), b""):
        digest.update(piece)
        part.write(piece)
    part.flush()
    return digest.digest()


def _modified(found: os.stat_result) -> datetime:
    return datetime.fromtimestamp(found.st_mtime, UTC)


def _listed(found: os.stat_result) -> dict[str, Any]:
    return {"Size": found.st_size, "LastModified": _modified(found), "ETag": _etag(found)}


def _etag(found: os.stat_result) -> str:
    return f'"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"'
