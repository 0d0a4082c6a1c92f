"""Data sources that lie in S3: any bucket, one object or a folder, copied in flat memory under a limit."""

from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from tasks.contracts.errors import DataError, IngotError
from tasks.stores.s3.bucket import Bucket, Object, listing
from tasks.stores.s3.connection import Connection


def download(connection: Connection, uri: str, to: Path, max_bytes: int) -> Path:
    """Copies a source under the folder `to`, keeping its name; it appears whole or not at all.

    Args:
        connection: Where to read.
        uri: `s3://bucket/key` of an object, or of a folder, with or without a slash at its end.
        to: The folder to copy into; made if it is missing.
        max_bytes: Refuse a source larger than this.

    Returns:
        The file `to/<name>`, or the folder `to/<name>`.

    Raises:
        DataError: there is no such source, it is too large, or its keys cannot be file names.
    """
    bucket, key = _split(uri)
    objects = {found.key: found.size_bytes for found in objects_of(connection, uri)}
    total = sum(objects.values())
    if total > max_bytes:
        raise DataError(f"{uri} holds {total} bytes, but max_bytes is {max_bytes}: raise it, or name less data")
    name = PurePosixPath(key).name or bucket
    try:
        to.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=to, prefix=".ingot-") as folder:
            for found, size in objects.items():
                file = Path(folder, name, *_parts(uri, found.removeprefix(key)))
                file.parent.mkdir(parents=True, exist_ok=True)
                _copy(connection, bucket, found, file, size)
            return Path(folder, name).rename(to / name)
    except OSError as error:
        raise IngotError(f"{to / name} cannot be written ({error.strerror}): free some space, or clear it") from error


def _split(uri: str) -> tuple[str, str]:
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise DataError(f"source is {uri!r}, but must be s3://bucket/key: name a bucket")
    return bucket, key


def objects_of(connection: Connection, uri: str) -> list[Object]:
    """What a source consists of: the one object, or all in the folder, in order of their keys.

    Raises:
        DataError: there is no such source.
    """
    bucket, key = _split(uri)
    if key and not key.endswith("/"):
        if (found := Bucket(bucket, "", connection).look(key)) is not None:
            return [found]
        key += "/"
    objects = [found for found in listing(connection, bucket, key) if not found.key.endswith("/")]
    if not objects:
        raise DataError(f"{uri} does not exist at {connection.endpoint}: check bucket and key")
    return objects


def _parts(uri: str, rest: str) -> list[str]:
    """The path below the source's own name; no key may climb out of the folder."""
    parts = [part for part in rest.split("/") if part]
    if any(part in (".", "..") or "\\" in part or "\0" in part for part in parts):
        raise DataError(f"{uri} holds the key {rest!r}, but a key must be a plain path: rename the object")
    return parts


def _copy(connection: Connection, bucket: str, key: str, file: Path, size: int) -> None:
    """Copies one object, which must be as long as was announced: `max_bytes` was checked against that."""
    written = 0
    with file.open("wb") as out:
        for piece in connection.open(bucket, key).pieces:
            written += len(piece)
            if written > size:
                break
            out.write(piece)
    if written != size:
        raise DataError(f"s3://{bucket}/{key} changed while it was read, but must hold still: try again")
