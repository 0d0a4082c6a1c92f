"""Plain reads and writes under one prefix of one bucket; the bucket is made by the first write that misses it."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, NamedTuple

from tasks.contracts.errors import InputError
from tasks.stores.s3.connection import Connection, Stream
from tasks.stores.s3.errors import BucketMissingError, ConditionFailedError, MissingError, not_s3


class Object(NamedTuple):
    """What a store says of an object without its bytes."""

    key: str
    size_bytes: int
    modified: datetime
    """When it was written, by the store's clock."""
    etag: str = ""
    """Changes with the content."""


@dataclass(frozen=True)
class Bucket:
    """Where a store's keys lie. A key never holds the prefix."""

    name: str
    prefix: str
    connection: Connection

    def uri(self, key: str) -> str:
        """The address of a key."""
        place = self.name if "://" in self.name else f"s3://{self.name}"
        return f"{place.rstrip('/')}/{self.prefix}{key}"

    def call(self, operation: str, key: str, **arguments: Any) -> dict[str, Any]:
        """One operation on one key; errors as `Connection.call`."""
        return self.connection.call(operation, Bucket=self.name, Key=self.prefix + key, **arguments)

    def put(self, key: str, body: bytes | BinaryIO, *, sha256: str = "", **how: str) -> None:
        """One plain PutObject, which the store checks against the digest; never a multipart upload.

        Args:
            key: Where to.
            body: The bytes, or a seekable file.
            sha256: Hexadecimal digest of the body.
            how: `IfMatch`, `IfNoneMatch`, `ContentEncoding`.
        """
        if sha256:
            how["ChecksumSHA256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
        try:
            self._put(key, body, how)
        except BucketMissingError:
            self._create()
            self._put(key, body, how)

    def open(self, key: str) -> Stream:
        """An object, to be read piece by piece."""
        return self.connection.open(self.name, self.prefix + key)

    def has(self, key: str) -> bool:
        """Whether an object stands at the key."""
        return self.look(key) is not None

    def look(self, key: str) -> Object | None:
        """What is known of the object at the key; None if there is none."""
        try:
            found = self.call("head_object", key)
        except MissingError:
            return None
        return Object(key, int(found.get("ContentLength", 0)), _time(found), found.get("ETag", ""))

    def delete(self, key: str) -> None:
        """Deletes an object; that there is none is fine."""
        try:
            self.call("delete_object", key)
        except MissingError:
            return

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin so, in order, without the bucket's own prefix."""
        for found in self.objects(prefix):
            yield found.key

    def objects(self, prefix: str) -> Iterator[Object]:
        """The objects whose keys begin so, in order, without the bucket's own prefix."""
        for found in listing(self.connection, self.name, self.prefix + prefix):
            yield found._replace(key=found.key.removeprefix(self.prefix))

    def _put(self, key: str, body: bytes | BinaryIO, how: dict[str, str]) -> None:
        if not isinstance(body, bytes):
            body.seek(0)  # an earlier try may have read it
        if "ETag" not in self.call("put_object", key, Body=body, **how):
            raise not_s3(self.connection.endpoint)

    def _create(self) -> None:
        region = self.connection.region
        # AWS refuses its oldest region by name, and wants every other one named.
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            self.connection.call("create_bucket", Bucket=self.name, **where)
        except ConditionFailedError:
            return  # another process made it meanwhile
        except InputError as error:
            raise InputError(
                f"bucket {self.name!r} does not exist at {self.connection.endpoint} and could not be created: "
                "create it, or set INGOT_BUCKET to one that exists"
            ) from error


def listing(connection: Connection, bucket: str, prefix: str) -> Iterator[Object]:
    """Every object whose key begins with the prefix, in order; none if there is no bucket."""
    page: dict[str, Any] = {"IsTruncated": True}
    token: dict[str, str] = {}
    while page["IsTruncated"]:
        try:
            page = connection.call("list_objects_v2", Bucket=bucket, Prefix=prefix, **token)
        except BucketMissingError:
            return
        if "IsTruncated" not in page:
            raise not_s3(connection.endpoint)
        for found in page.get("Contents", ()):
            yield Object(found["Key"], found["Size"], _time(found), found.get("ETag", ""))
        token = {"ContinuationToken": page.get("NextContinuationToken", "")}


def _time(found: dict[str, Any]) -> datetime:
    return found.get("LastModified") or datetime.now(UTC)
