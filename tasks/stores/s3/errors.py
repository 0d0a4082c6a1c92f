"""One sentence of ours for everything that S3 can answer with, or fail to. No sentence holds a secret."""

from typing import TypeAlias

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.parsers import ResponseParserError

from tasks.contracts.errors import ConflictError, IngotError, InputError, IntegrityError, UnavailableError

BotoError: TypeAlias = ClientError | BotoCoreError | ResponseParserError | RecursionError
BOTO_ERRORS = (ClientError, BotoCoreError, ResponseParserError, RecursionError)
"""RecursionError: botocore follows a server that redirects every request until the stack ends."""

BROKEN_BODY = ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch")
WRONG_KEY = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "ExpiredToken", "InvalidToken")
WRONG_REGION = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException")
NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)


class MissingError(IngotError):
    """No object stands at that key."""


class BucketMissingError(MissingError):
    """The bucket itself does not exist."""


class ConditionFailedError(ConflictError):
    """The store refused a conditional write: some write, perhaps our own earlier try, came first."""


def translate(error: BotoError, endpoint: str, region: str, place: str) -> IngotError:
    """Our error for one of botocore's.

    Args:
        error: What botocore raised.
        endpoint: `host:port`.
        region: The region that requests are signed for.
        place: `bucket/key`.
    """
    if isinstance(error, ClientError):
        return _refused(error, endpoint, region, place)
    if isinstance(error, NO_CREDENTIALS):
        return InputError(
            f"credentials for S3 at {endpoint} are missing, but every request must be signed: "
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `ingot up`"
        )
    if isinstance(error, ParamValidationError):
        return InputError(f"S3 address is {place!r}, but a bucket has 3 to 63 of a-z 0-9 . -: name another")
    if isinstance(error, HTTPClientError | NoConnectionError):
        return silent(endpoint, type(error).__name__)
    return not_s3(endpoint)


def silent(endpoint: str, reason: str) -> UnavailableError:
    """What is said when nobody answers."""
    return UnavailableError(
        f"S3 at {endpoint} does not answer ({reason}): run `ingot up`, or point AWS_ENDPOINT_URL at a store that runs"
    )


def _refused(error: ClientError, endpoint: str, region: str, place: str) -> IngotError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "NoSuchBucket":
        bucket = place.partition("/")[0]
        return BucketMissingError(f"bucket {bucket!r} does not exist at {endpoint}: create it, or name another")
    if code == "NoSuchKey" or (status == 404 and error.operation_name.startswith("Head")):
        return MissingError(f"s3://{place} does not exist at {endpoint}: check the address")
    if status in (409, 412):
        return ConditionFailedError(f"s3://{place} was written by somebody else first: read it again")
    if code in BROKEN_BODY:
        return IntegrityError(f"s3://{place} did not arrive as it was sent: did the file change meanwhile? try again")
    if code in WRONG_KEY or status in (401, 403):
        return InputError(
            f"S3 at {endpoint} refused s3://{place} ({code or status}), but the key must be allowed to use it: "
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if code in WRONG_REGION:
        return InputError(f"region is {region!r}, but s3://{place} lies in another ({code}): set AWS_REGION to it")
    if (status >= 500 and status != 501) or status == 429 or code in ("SlowDown", "RequestTimeout"):
        return silent(endpoint, code if code == str(status) else f"{status} {code}")
    if code in ("", str(status)):
        return not_s3(endpoint)
    return InputError(f"S3 at {endpoint} refused s3://{place} ({code}): see what the store's log says")


def not_s3(endpoint: str) -> InputError:
    """What is said when something answers that is no S3 store."""
    return InputError(
        f"{endpoint} answers, but not as S3 does: point AWS_ENDPOINT_URL at an S3 store, or run `ingot up`"
    )
