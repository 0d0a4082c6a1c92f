"""What a retraining comes to."""

from typing import Literal

from tasks.contracts.record import Record
from tasks.contracts.verdict import Measurement


class ModelVersion(Record):
    """What a retraining returns: one version, published or not."""

    model: str
    version: str = ""
    seq: int = 0
    """Place of its publish entry in the journal; 0 when rejected."""
    status: Literal["published", "unchanged", "rejected"]
    reason: str = ""
    champion: bool = False
    manifest_uri: str = ""
    manifest_sha256: str = ""
    flow_run_id: str = ""
    flow_run_url: str = ""
    mlflow_run_id: str = ""
    mlflow_version_url: str = ""
    winner: str = ""
    candidates: tuple[Measurement, ...] = ()
    seconds: dict[str, float] = {}
