"""Compare: new rows held against what the champion learned from."""

from tasks.contracts.config import DriftConfig
from tasks.contracts.drift import DriftReport
from tasks.step import step


@step(name="compare")
def compare(config: DriftConfig, until: str) -> DriftReport:
    """Read a sample of both sides, let the champion answer it, and judge column by column.

    Args:
        config: What is compared, and what counts as drift.
        until: The moment up to which the server's samples are taken: ISO 8601 with its zone.

    Raises:
        InputError: There is no champion, or the new data cannot be judged.
    """
    from tasks.exporters.drift_comparison import compare_with_champion
    from tasks.stores.s3 import Store

    return compare_with_champion(Store.from_environment(), config, until)
