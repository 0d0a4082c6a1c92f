"""The one door to S3: blobs, small objects that are created once or moved by one writer, and data sources.

Commits rest on two promises of `create` and `replace`: of several writers one wins, and whoever won knows it. A
failed condition may be an earlier try of ours that succeeded, and a time-out may be a write that took place; so both
read back what stands before they answer. A local folder can stand in for S3, with the same promises.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from tasks.contracts.artifacts import Artifact
from tasks.contracts.errors import IntegrityError, UnavailableError
from tasks.contracts.record import sha256_hex
from tasks.stores.s3 import blobs, probe, sources
from tasks.stores.s3.bucket import Bucket, Object
from tasks.stores.s3.connection import Connection, connect
from tasks.stores.s3.errors import ConditionFailedError, MissingError
from tasks.stores.s3.folder import SCHEME, open_folder

__all__ = ["Object", "Store", "Versioned"]

Content = TypeVar("Content")

TRIES = 3
OBJECT_BYTES = 64 * 2**20
"""Largest object that is read or written whole; larger things are blobs."""


class Versioned(NamedTuple, Generic[Content]):
    """What stood at a key, and the mark by which it can be replaced."""

    content: Content
    etag: str


@dataclass(frozen=True)
class Store:
    """A bucket, or a part of one. Threads may share it.

    Every method raises UnavailableError if nobody answers and InputError if the store refuses our credentials; keys
    are given without the prefix.
    """

    bucket: str
    prefix: str
    connection: Connection = field(repr=False)

    @classmethod
    def from_environment(cls, bucket: str = "", prefix: str = "") -> "Store":
        """The store that `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, ... name; sends nothing yet.

        Args:
            bucket: Empty takes INGOT_BUCKET, else `ingot`; the first write makes it if it is missing. An address
                `file:///some/folder` is a store in that folder, which needs no server.
            prefix: Put before every key; ends with a slash. Empty takes INGOT_PREFIX, else none.
        """
        bucket = bucket or os.environ.get("INGOT_BUCKET", "") or "ingot"
        connection = open_folder(bucket) if bucket.startswith(SCHEME) else connect()
        return cls(bucket, prefix or os.environ.get("INGOT_PREFIX", ""), connection)

    def part(self, prefix: str) -> "Store":
        """The part of this store whose keys begin so: a store of its own, that shares no blob with the whole."""
        return replace(self, prefix=self.prefix + prefix)

    @cached_property
    def _place(self) -> Bucket:
        return Bucket(self.bucket, self.prefix, self.connection)

    def put_bytes(self, content: bytes) -> Artifact:
        """Stores bytes by their digest; that they stand already is fine."""
        return blobs.put_bytes(self._place, content)

    def put_file(self, path: Path) -> Artifact:
        """Stores a file of any size by its digest, in flat memory, chunks in parallel.

        Raises:
            DataError: the file cannot be read.
            IntegrityError: the file changed while it was stored.
        """
        return blobs.put_file(self._place, path)

    def get_bytes(self, artifact: Artifact) -> bytes:
        """The content of an artifact, verified against its digests.

        Raises:
            IntegrityError: it is missing, or not what its digest says.
        """
        return blobs.get_bytes(self._place, artifact)

    def fetch(self, artifact: Artifact, to: Path) -> Path:
        """Copies an artifact into the file `to`, which appears whole and verified, or not at all.

        Raises:
            IntegrityError: it is missing, or not what its digest says.
            IngotError: the disk is full or not ours.
        """
        return blobs.fetch(self._place, artifact, to)

    def holds(self, artifact: Artifact) -> bool:
        """Whether every chunk of an artifact still stands; reads none of them."""
        return blobs.holds(self._place, artifact)

    def refresh(self, artifact: Artifact) -> bool:
        """Whether every chunk of an artifact still stands; one that is a day old is written again.

        Whoever collects garbage goes by age: what is meant to be used now must be young.
        """
        return blobs.refresh(self._place, artifact)

    def create(self, key: str, content: bytes) -> bool:
        """Writes an object that must not exist: the commit.

        Returns:
            True if these bytes now stand there, also by an earlier try of ours; False if others do.

        Raises:
            UnavailableError: nobody answers; whether the object was written is unknown, and the same call may be
                made again.
        """
        return self._settle(key, content, None)

    def replace(self, key: str, content: bytes, etag: str | None) -> bool:
        """Writes an object if it is still the one that was read (`etag` None: if there is none).

        SeaweedFS derives an ETag from the content, so content that comes back brings its ETag back: hold a counter in
        what is replaced.

        Returns:
            True if these bytes now stand there; False if somebody else moved it.
        """
        return self._settle(key, content, etag)

    def keep(self, key: str, content: bytes) -> None:
        """Writes an object whose key is made of its content, and again if it stands but is a day old.

        Whoever collects garbage goes by age: what is meant to be used now must be young.
        """
        if not self.create(key, content):
            raise IntegrityError(f"{self.uri(key)} holds other bytes than its name says: restore or delete it")
        standing = self.look(key)
        if standing is not None and blobs.is_old(standing, datetime.now(UTC)):
            self._place.put(key, content, sha256=sha256_hex(content))

    def look(self, key: str) -> Object | None:
        """Size and age of an object, or None."""
        return self._place.look(key)

    def delete(self, key: str) -> None:
        """Deletes an object; that there is none is fine."""
        self._place.delete(key)

    def read(self, key: str) -> Versioned[bytes] | None:
        """The object at a key, or None.

        Raises:
            IntegrityError: it is larger than 64 MiB.
        """
        try:
            found = self._place.open(key)
        except MissingError:
            return None
        if found.size_bytes > OBJECT_BYTES:
            raise IntegrityError(f"{self.uri(key)} has {found.size_bytes} bytes, but may have 64 MiB: it is not ours")
        return Versioned(b"".join(found.pieces), found.etag)

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin so, in order; none if there is no bucket yet."""
        return self._place.keys(prefix)

    def objects(self, prefix: str) -> Iterator[Object]:
        """As `keys`, with sizes and ages."""
        return self._place.objects(prefix)

    def uri(self, key: str) -> str:
        """The `s3://` or `file://` address of a key."""
        return self._place.uri(key)

    def download(self, uri: str, to: Path, max_bytes: int) -> Path:
        """Copies a data source, `s3://bucket/key` of an object or a folder in any bucket, under the folder `to`.

        Returns:
            The file or folder `to/<name>`, which appears whole or not at all.

        Raises:
            DataError: there is no such source, or it is larger than `max_bytes`.
        """
        return sources.download(self._outside, uri, to, max_bytes)

    def source_objects(self, uri: str) -> list[Object]:
        """The objects of a data source, in order of their keys; reads none of them.

        Raises:
            DataError: there is no such source.
        """
        return sources.objects_of(self._outside, uri)

    def probe(self) -> None:
        """Refuses a store that cannot commit safely; the store remembers that it passed. A folder commits under a lock.

        Raises:
            ConflictError: conditional writes do not hold under a race, or anonymous requests are served.
        """
        if not self._in_folder:
            probe.probe(self._place)

    @property
    def _outside(self) -> Connection:
        """Where sources lie: S3, also for a store in a folder."""
        return connect() if self._in_folder else self.connection

    @property
    def _in_folder(self) -> bool:
        return self.bucket.startswith(SCHEME)

    def _settle(self, key: str, content: bytes, etag: str | None) -> bool:
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        for _ in range(TRIES):
            try:
                self._place.put(key, content, sha256=sha256_hex(content), **condition)
                return True
            except (ConditionFailedError, MissingError, UnavailableError):  # AWS: 404 for If-Match on a missing key
                standing = self.read(key)
            if standing is not None and standing.content == content:
                return True
            if (standing.etag if standing else None) != etag:
                return False
        raise UnavailableError(
            f"{self.uri(key)} is still as it was after {TRIES} writes: see what the store's log says"
        )
