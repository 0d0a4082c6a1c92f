"""The contract of a model: what the data of its next run must look like, so that who calls it need not change."""

from tasks.contracts.record import Record, canonical_json, sha256_hex
from tasks.contracts.schema import Schema


class Span(Record):
    """Between which numbers a column lay in training: an orientation, no demand."""

    column: str
    low: float
    high: float


class Contract(Record):
    """The schema of a champion, as a demand on the rows that the next model is made from.

    Its digest is that of what it demands alone: a new champion of the same schema is the same contract.
    """

    schema_: Schema
    categories: dict[str, tuple[str, ...]] = {}
    """The words that each category may hold; a column that is not named here may hold any."""
    spans: tuple[Span, ...] = ()
    version: str = ""
    """Of the champion."""
    dataset_uri: str = ""
    """What the champion was made from."""

    @property
    def digest(self) -> str:
        """SHA-256 of the schema and the categories; neither spans nor version belong to it."""
        return sha256_hex(canonical_json(self.model_dump(mode="json", include={"schema_", "categories"})))

    @property
    def called(self) -> str:
        """What messages call it."""
        return f"the contract of version {self.version}" if self.version else "the contract"
