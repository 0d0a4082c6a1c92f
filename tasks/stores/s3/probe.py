"""Whether a store can be trusted with commits: asked once, remembered in the store itself."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from uuid import uuid4

from tasks.contracts.errors import ConflictError, InputError
from tasks.stores.s3.bucket import Bucket
from tasks.stores.s3.connection import connect
from tasks.stores.s3.errors import ConditionFailedError, MissingError

MARKER = "probe/passed"
WRITERS = 8
ROUNDS = 3


def probe(bucket: Bucket) -> None:
    """Refuses a store that cannot commit safely, or that strangers can read or write.

    Raises:
        ConflictError: conditional writes do not hold, or anonymous requests are served.
        UnavailableError: nobody answers.
    """
    if not bucket.has(MARKER):
        for _ in range(ROUNDS):
            _race(bucket, f"probe/{uuid4().hex}")
        _refuses_strangers(bucket)
        bucket.put(MARKER, b"conditional writes hold, anonymous requests are refused\n")


def _race(bucket: Bucket, key: str) -> None:
    """Several writers at once, first creating a key, then replacing it: one must win each time."""
    try:
        _one_winner(bucket, key, {"IfNoneMatch": "*"})
        _one_winner(bucket, key, {"IfMatch": bucket.call("head_object", key)["ETag"]})
    finally:
        _forget(bucket, key)


def _one_winner(bucket: Bucket, key: str, condition: dict[str, str]) -> None:
    def write(writer: int) -> bool:
        with suppress(ConditionFailedError):
            bucket.put(key, f"{key} {condition} {writer}".encode(), **condition)
            return True
        return False

    with ThreadPoolExecutor(WRITERS) as pool:
        winners = sum(pool.map(write, range(WRITERS)))
    if winners > 1:
        raise ConflictError(
            f"S3 at {bucket.connection.endpoint} let {winners} of {WRITERS} writers win the same {' '.join(condition)} "
            "write, but exactly one must: use a store with conditional writes (AWS S3, SeaweedFS, MinIO)"
        )


def _refuses_strangers(bucket: Bucket) -> None:
    key = f"probe/{uuid4().hex}"
    bucket.put(key, b"private")
    stranger = replace(bucket, connection=connect(anonymous=True))
    requests: dict[str, Callable[[], object]] = {
        "read": partial(stranger.call, "head_object", key),
        "list": lambda: list(stranger.keys("probe/")),
        "write": partial(stranger.put, key, b"public"),
    }
    try:
        for verb, request in requests.items():
            with suppress(InputError, MissingError):  # refused, as it must be
                request()
                raise ConflictError(
                    f"S3 at {bucket.connection.endpoint} lets anybody {verb} bucket {bucket.name!r}, "
                    "but anonymous requests must be refused: remove its public access"
                )
    finally:
        _forget(bucket, key)


def _forget(bucket: Bucket, key: str) -> None:
    with suppress(InputError, MissingError):  # a key that may not delete leaves a few bytes behind
        bucket.call("delete_object", key)
