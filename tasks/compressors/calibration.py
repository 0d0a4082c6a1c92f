"""The calibration set, as ONNX Runtime's quantizer asks for it: one batch after the other, then nothing."""

from collections.abc import Iterator

import numpy as np

from tasks.contracts.errors import ConfigError

BATCH_ROWS = 64


class CalibrationReader:
    """Feeds encoded rows of the training split to the calibrator, in batches.

    Args:
        rows: (N, ...), float32 or int64.
        batch_rows: Most rows in one call; the ranges that are found do not depend on it.
        alike: Whether all batches must be of one size, since histograms are stacked; a few rows may be left out.

    Raises:
        ConfigError: If there are no rows, or there is one that is not a number.
    """

    def __init__(self, rows: np.ndarray | None, batch_rows: int = BATCH_ROWS, *, alike: bool = False) -> None:
        if rows is None or len(rows) == 0:
            raise ConfigError(
                "the calibration set is empty, but static int8 reads its ranges off training rows: "
                "leave rows to train on, or take 'static' out of quantize.schemes"
            )
        if rows.dtype.kind == "f" and not np.isfinite(rows).all():
            raise ConfigError(
                "the calibration set holds values that are not finite, but static int8 needs ranges: "
                "fill or drop them with ingest.missing"
            )
        if alike:
            batches = -(-len(rows) // batch_rows)
            batch_rows = len(rows) // batches
            rows = rows[: batches * batch_rows]
        self._batches: Iterator[np.ndarray] = (
            rows[start : start + batch_rows] for start in range(0, len(rows), batch_rows)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch by the name of the graph's input; None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {"encoded": batch}
