"""One S3 client per process and set of credentials, that fails in our words.

A request is tried three times, so a conditional write may meet its own earlier success: callers read back.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import InvalidRegionError, ProfileNotFound

from tasks.contracts.errors import InputError
from tasks.stores.s3.errors import BOTO_ERRORS, not_s3, silent, translate
from tasks.stores.s3.traffic import TRAFFIC

PIECE_BYTES = 2**20
"""How much of an object is in memory while it is copied."""

BREAKS = 5
"""How often one download may be taken up again where its connection broke."""

ENVIRONMENT = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)


class Stream(NamedTuple):
    """An object that is being read."""

    etag: str
    size_bytes: int
    encoding: str
    """Its Content-Encoding; empty for plain bytes. Nothing is decoded."""
    pieces: Iterator[bytes]
    """1 MiB at a time."""


@dataclass(frozen=True)
class Connection:
    """A client that threads may share."""

    client: Any
    endpoint: str
    """`host:port`, for messages."""
    region: str

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """The answer to one S3 operation, named as boto3 does.

        Raises:
            MissingError: no such key, or (`BucketMissingError`) no such bucket.
            ConditionFailedError: If-Match or If-None-Match did not hold.
            InputError: credentials, bucket name or region are wrong.
            IntegrityError: the bytes did not arrive as they were sent.
            UnavailableError: nobody answered; whether a write took place is unknown.
        """
        place = "/".join(str(arguments[name]) for name in ("Bucket", "Key") if name in arguments)
        try:
            answer: dict[str, Any] = getattr(self.client, operation)(**arguments)
        except BOTO_ERRORS as error:
            raise translate(error, self.endpoint, self.region, place) from error
        TRAFFIC.add(sent=_length(arguments.get("Body", b"")))
        return answer

    def open(self, bucket: str, key: str) -> Stream:
        """An object, to be read piece by piece; errors as `call`."""
        answer = self.call("get_object", Bucket=bucket, Key=key)
        if "ETag" not in answer:
            raise not_s3(self.endpoint)
        encoding = answer.get("ContentEncoding", "")
        return Stream(answer["ETag"], answer["ContentLength"], encoding, self._pieces(bucket, key, answer))

    def _pieces(self, bucket: str, key: str, answer: dict[str, Any]) -> Iterator[bytes]:
        """The bytes of an object; where the connection breaks it is taken up again, if the object is still the same."""
        done, size, etag = 0, answer["ContentLength"], answer["ETag"]
        for breaks in range(BREAKS + 1):
            try:
                for piece in answer["Body"].iter_chunks(PIECE_BYTES):
                    done += len(piece)
                    TRAFFIC.add(received=len(piece))
                    yield piece
                return
            except BOTO_ERRORS as error:
                if done == size:
                    return
                if breaks == BREAKS:
                    raise silent(self.endpoint, f"s3://{bucket}/{key} broke off {breaks + 1} times") from error
            answer = self.call("get_object", Bucket=bucket, Key=key, Range=f"bytes={done}-", IfMatch=etag)


def _length(body: Any) -> int:
    """Bytes of a request's body: all of them, or as far as a file was read."""
    return len(body) if isinstance(body, bytes) else int(body.tell())


def connect(*, anonymous: bool = False) -> Connection:
    """The connection that the environment describes, made once and shared.

    Raises:
        InputError: the address or the profile cannot be used.
    """
    return _connect(tuple(os.environ.get(name, "") for name in ENVIRONMENT), anonymous)


@lru_cache(maxsize=8)
def _connect(values: tuple[str, ...], anonymous: bool) -> Connection:
    environment = dict(zip(ENVIRONMENT, values, strict=True))
    endpoint = environment["AWS_ENDPOINT_URL_S3"] or environment["AWS_ENDPOINT_URL"]
    try:
        session = boto3.session.Session()
        region = environment["AWS_REGION"] or session.region_name or "us-east-1"
        client = session.client("s3", region_name=region, config=_config(endpoint, anonymous=anonymous))
    except ProfileNotFound as error:
        raise InputError(
            f"AWS_PROFILE is {environment['AWS_PROFILE']!r}, but no such profile exists: add it"
        ) from error
    except InvalidRegionError as error:
        raise InputError(f"AWS_REGION is {region!r}, but must be a region such as us-east-1: correct it") from error
    except ValueError as error:
        raise InputError(
            f"AWS_ENDPOINT_URL is {endpoint!r}, but must be an address such as http://127.0.0.1:8333: correct it"
        ) from error
    return Connection(client, urlsplit(client.meta.endpoint_url).netloc, region)


def _config(endpoint: str, *, anonymous: bool) -> Config:
    """How we talk to S3.

    Losers of a race wait up to 10 s for their 412, and the first PUT after a restart takes up to 5.6 s (SeaweedFS
    4.48), so an answer may take 20 s; that nobody listens shows within seconds. The only checksums are those we pass
    ourselves: botocore's own default adds trailers that some stores refuse. Bodies are signed through them, in a
    signed header, and not hashed once more.
    """
    return Config(
        connect_timeout=3,
        read_timeout=20,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=32,
        s3={"addressing_style": "path", "payload_signing_enabled": False},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        signature_version=UNSIGNED if anonymous else None,
        # A company's HTTP_PROXY cannot reach the store on this machine.
        proxies={} if is_loopback(urlsplit(endpoint).hostname or "") else None,
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "example.org", "")]
    [True, True, True, False, False, False, False]
    """
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
