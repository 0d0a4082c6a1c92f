"""Who may ask the server: API keys, of which only digests are kept.

The list lies in the store as one signed envelope, `access/keys.json`, and is replaced as a whole. Its `seq` grows by
one with every change, so that an older list which somebody puts back is known for what it is.
"""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field, field_validator

from tasks.contracts.record import Record, sha256_hex

KEYS_TYPE = "application/vnd.ingot.keys+json"
MOST_KEYS = 10_000
"""Keys of one list, revoked ones with them: every server holds all of them in memory."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ApiKey(Record):
    """One caller, and what it may do."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    """Public: it stands in logs, in usage and within the token."""
    name: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,80}$")]
    sha256: Digest
    """Of the token, which nobody keeps but its owner."""
    models: tuple[str, ...] = ()
    """Models it may ask; empty allows all."""
    rate_per_second: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Most requests a second over all workers, after a burst of one second's worth; 0 is unlimited."""
    daily: Annotated[int, Field(ge=0)] = 0
    """Most requests a UTC day; 0 is unlimited."""
    created_at: str
    """UTC, ISO 8601; so are the other times."""
    expires_at: str = ""
    revoked_at: str = ""

    @field_validator("expires_at")
    @classmethod
    def _is_a_moment(cls, value: str) -> str:
        if value and datetime.fromisoformat(value).tzinfo is None:
            raise ValueError("must name its time zone")
        return value

    @property
    def expires(self) -> float:
        """When it ends, in seconds since the epoch; infinite if it does not."""
        return datetime.fromisoformat(self.expires_at).timestamp() if self.expires_at else float("inf")

    def state(self, now: datetime) -> str:
        """`live`, `expired` or `revoked`."""
        if self.revoked_at:
            return "revoked"
        return "expired" if now.timestamp() >= self.expires else "live"


class KeyList(Record):
    """All keys there ever were; a revoked one stays, so that logs and usage keep their names."""

    seq: Annotated[int, Field(ge=1)]
    keys: tuple[ApiKey, ...] = ()


def digest_of(token: str) -> str:
    """What is kept of a token. Tokens hold 256 random bits, so a plain digest is as good as a slow one.

    >>> digest_of("ingot_0a1b2c3d_secret")[:8]
    '9cccceae'
    """
    return sha256_hex(token.encode())


def now() -> datetime:
    """The present in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
