"""What a step came to, and what it cost: the record by which its work is not done twice."""

from typing import Any

from tasks.contracts.record import Record


class Cost(Record):
    """What one step took."""

    seconds: float
    cpu_seconds: float
    """Of this process and its children, on all cores together."""
    peak_bytes: int
    """Most resident memory of this process and its children, as it was seen four times a second."""
    sent_bytes: int
    """To the store."""
    received_bytes: int
    """From the store."""


class Result(Record):
    """The value of a step, under a key that is made of everything it depends on."""

    step: str
    name: str
    """Of this run of the step: `prune channels-50`."""
    parts: dict[str, str]
    """What the key is made of: digests of inputs and code, fields of forms, versions of libraries."""
    value: Any
    """The record, or records, as JSON."""
    cost: Cost
    mlflow_run_id: str = ""
    """Of the retraining that did the work."""
    time: str
    """When it was done; ISO 8601, UTC."""


class LedgerRow(Record):
    """What one step of a published version took."""

    step: str
    name: str
    cost: Cost
    time: str
    """When it was done; ISO 8601, UTC."""
