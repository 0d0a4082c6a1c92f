"""Immutable bytes, named by their digest: cut into chunks, stored once, verified whenever they are copied back.

A chunk is one plain PutObject of at most 64 MiB (a multipart upload is not atomic under conditions), and the store
itself checks it against `ChecksumSHA256` before it keeps it. Where that pays it lies under zstd, which its
`Content-Encoding` says; names and digests are always those of the plain bytes. Files are streamed: memory stays flat.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, NamedTuple, cast

from tasks.contracts.artifacts import Artifact
from tasks.contracts.errors import ConflictError, DataError, IngotError, IntegrityError
from tasks.contracts.record import sha256_hex
from tasks.runtime.transport import CHUNK_BYTES, ENCODING, packed, unpacked
from tasks.stores.s3.bucket import Bucket, Object
from tasks.stores.s3.errors import ConditionFailedError, MissingError
from tasks.stores.s3.window import Window
from tasks.stores.s3.window import digest as digest_of

PARALLEL = 4
"""Uploads in flight: 165 MiB/s, against 113 of boto3's own transfer (SeaweedFS 4.48, two cores)."""

TRIES = 3

FRESH = timedelta(days=1)
"""A chunk that is put again after so long is written again: garbage is collected by age, and this one is in use."""


class Chunk(NamedTuple):
    """A chunk that stands in the store."""

    digest: str
    """Of its plain bytes: its name."""
    transit_bytes: int


def put_bytes(bucket: Bucket, content: bytes) -> Artifact:
    """Stores bytes that are in memory anyway."""
    pieces = [content[start : start + CHUNK_BYTES] for start in _starts(len(content))]
    with ThreadPoolExecutor(PARALLEL) as pool:
        chunks = list(pool.map(partial(_put_piece, bucket), pieces))
    return _artifact(bucket, sha256_hex(content), len(content), chunks)


def put_file(bucket: Bucket, path: Path) -> Artifact:
    """Stores a file of any size in flat memory.

    Raises:
        DataError: there is no such file.
        IntegrityError: the file changed while it was read.
    """
    try:
        before = path.stat()
        size = before.st_size
        with ThreadPoolExecutor(PARALLEL + 1) as pool:
            whole = pool.submit(digest_of, path, 0, size) if size > CHUNK_BYTES else None
            chunks = list(pool.map(partial(_put_window, bucket, path, size), _starts(size)))
        after = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}), but must be a file: check the path") from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise IntegrityError(f"{path} changed while it was stored, but must hold still: try again")
    return _artifact(bucket, whole.result() if whole else chunks[0].digest, size, chunks)


def get_bytes(bucket: Bucket, artifact: Artifact) -> bytes:
    """The verified content of an artifact, in memory."""
    buffer = io.BytesIO()
    _copy(bucket, artifact, buffer)
    return buffer.getvalue()


def fetch(bucket: Bucket, artifact: Artifact, to: Path) -> Path:
    """Copies an artifact into a file, which appears whole and verified, or not at all."""
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=to.parent, prefix=".ingot-") as folder:
            part = Path(folder, "part")
            with part.open("wb") as file:
                _copy(bucket, artifact, file)
            part.replace(to)
    except OSError as error:
        raise IngotError(
            f"{to} cannot be written ({error.strerror}): free some space, or name another place"
        ) from error
    return to


def holds(bucket: Bucket, artifact: Artifact) -> bool:
    """Whether every chunk of an artifact still stands."""
    return all(bucket.has(_key(digest)) for digest in artifact.chunks)


def refresh(bucket: Bucket, artifact: Artifact) -> bool:
    """Whether every chunk of an artifact still stands; those that are old are written again."""
    return all(_refresh(bucket, digest) for digest in artifact.chunks)


def _refresh(bucket: Bucket, digest: str) -> bool:
    standing = bucket.look(_key(digest))
    if standing is not None and is_old(standing, datetime.now(UTC)):
        content = b"".join(_chunk_pieces(bucket, digest))
        if sha256_hex(content) != digest:
            return False
        _put_chunk(bucket, io.BytesIO(content), len(content), digest)
    return standing is not None


def _starts(size: int) -> range:
    return range(0, max(size, 1), CHUNK_BYTES)  # empty content is one empty chunk


def _key(digest: str) -> str:
    return f"blobs/sha256/{digest}"


def _artifact(bucket: Bucket, digest: str, size: int, chunks: Sequence[Chunk]) -> Artifact:
    return Artifact(
        uri=bucket.uri(_key(chunks[0].digest)),
        sha256=digest,
        size_bytes=size,
        chunks=tuple(chunk.digest for chunk in chunks),
        transit_bytes=sum(chunk.transit_bytes for chunk in chunks),
    )


def _put_piece(bucket: Bucket, piece: bytes) -> Chunk:
    return _put_chunk(bucket, io.BytesIO(piece), len(piece), sha256_hex(piece))


def _put_window(bucket: Bucket, path: Path, size: int, start: int) -> Chunk:
    length = min(CHUNK_BYTES, size - start)
    window = Window(path, start, length)
    try:
        return _put_chunk(bucket, cast(BinaryIO, window), length, digest_of(path, start, length))
    finally:
        window.close()


def _put_chunk(bucket: Bucket, plain: BinaryIO, size: int, digest: str) -> Chunk:
    """Stores a chunk unless it stands and is young: its name says what is in it, and it was checked that it is."""
    standing = bucket.look(_key(digest))
    if standing is not None and not is_old(standing, datetime.now(UTC)):
        return Chunk(digest, standing.size_bytes)
    write = _put if standing is None else _put_again
    frame = packed(plain, size)
    if frame is None:
        return Chunk(digest, write(bucket, digest, plain, size, sha256=digest))
    with frame.file:
        if frame.plain_sha256 != digest:  # the store can check a frame, but not what is in it
            raise IntegrityError("a chunk changed while it was stored, but must hold still: try again")
        return Chunk(
            digest, write(bucket, digest, frame.file, frame.size_bytes, sha256=frame.sha256, ContentEncoding=ENCODING)
        )


def is_old(found: Object, now: datetime) -> bool:
    """Whether an object must be written again by whoever means to use it."""
    return now - found.modified > FRESH


def _put_again(bucket: Bucket, digest: str, body: BinaryIO, size: int, **how: str) -> int:
    bucket.put(_key(digest), body, **how)
    return size


def _put(bucket: Bucket, digest: str, body: BinaryIO, size: int, **how: str) -> int:
    """Writes a chunk; returns the bytes that stand, perhaps those of another writer."""
    for _ in range(TRIES):
        with suppress(ConditionFailedError):  # written meanwhile, by another or by an earlier try of ours: look
            bucket.put(_key(digest), body, IfNoneMatch="*", **how)
            return size
        standing = bucket.look(_key(digest))
        if standing is not None:
            return standing.size_bytes
    raise ConflictError(
        f"{bucket.uri(_key(digest))} is neither there nor can it be written: see what the store's log says"
    )


def _copy(bucket: Bucket, artifact: Artifact, file: BinaryIO) -> None:
    whole, size = hashlib.sha256(), 0
    for digest in artifact.chunks:
        chunk = hashlib.sha256()
        hashes = [chunk, whole] if len(artifact.chunks) > 1 else [whole := chunk]
        for piece in _chunk_pieces(bucket, digest):
            size += len(piece)
            if size > artifact.size_bytes:
                break
            for each in hashes:
                each.update(piece)
            file.write(piece)
        if chunk.hexdigest() != digest:
            raise IntegrityError(
                f"{bucket.uri(_key(digest))} holds other bytes than its name says: restore or delete it"
            )
    if whole.hexdigest() != artifact.sha256 or size != artifact.size_bytes:
        raise IntegrityError(
            f"artifact {artifact.sha256} is not what its {len(artifact.chunks)} chunks give: its record is wrong"
        )


def _chunk_pieces(bucket: Bucket, digest: str) -> Iterator[bytes]:
    """The plain bytes of a chunk, unpacked as its encoding says."""
    place = bucket.uri(_key(digest))
    try:
        found = bucket.open(_key(digest))
        if found.encoding not in ("", ENCODING):
            raise IntegrityError(f"{place} is under {found.encoding!r}, but only {ENCODING} is ours: restore it")
        yield from unpacked(found.pieces, place) if found.encoding else found.pieces
    except MissingError as error:
        raise IntegrityError(f"{place} is missing, but is still named: restore it, or run again") from error
