"""No log of this process quotes a secret, whoever writes it: Prefect logs the parameters that it refuses."""

import logging
import traceback
from contextlib import suppress
from typing import Any

from tasks.contracts.secrets import masked

UNFORMATTABLE = (TypeError, ValueError, KeyError)
"""What a message raises whose arguments do not fit; the handler that shows it says so."""


def mask_logs() -> None:
    """Mask messages and tracebacks before any handler sees them; calling it again changes nothing."""
    make = logging.getLogRecordFactory()
    if getattr(make, "masks", False):
        return

    def make_masked(*arguments: Any, **named: Any) -> logging.LogRecord:
        record = make(*arguments, **named)
        with suppress(*UNFORMATTABLE):
            _mask(record)
        return record

    make_masked.masks = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make_masked)


def _mask(record: logging.LogRecord) -> None:
    message = record.getMessage()
    if (shown := masked(message)) != message:
        record.msg, record.args = shown, None
    if record.exc_info and record.exc_info[1]:
        told = "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n")
        if (shown := masked(told)) != told:
            # A formatter takes a text that is there already for the traceback.
            record.exc_text, record.exc_info = shown, None
