import io
import logging

import pytest

from tasks.contracts.log_mask import mask_logs

HIDDEN = "xk7Q-hidden"


@pytest.fixture
def log(monkeypatch):
    """A logger, and what its handler wrote."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", HIDDEN)
    before, written = logging.getLogRecordFactory(), io.StringIO()
    handler, logger = logging.StreamHandler(written), logging.getLogger("test.masked")
    logger.addHandler(handler)
    mask_logs()
    mask_logs()
    yield logger, written
    logging.setLogRecordFactory(before)
    logger.removeHandler(handler)


def test_messages_and_their_arguments_are_masked(log):
    logger, written = log
    logger.warning("with %s and %r from %s", HIDDEN, {"key": HIDDEN}, "https://ann:other@host/a")
    assert written.getvalue() == "with *** and {'key': '***'} from https://***@host/a\n"


def test_tracebacks_are_masked_with_their_causes(log):
    logger, written = log
    try:
        try:
            raise KeyError(HIDDEN)
        except KeyError as error:
            raise ValueError("outer") from error
    except ValueError:
        logger.exception("it failed")
    assert HIDDEN not in written.getvalue()
    assert "KeyError: '***'" in written.getvalue() and "ValueError: outer" in written.getvalue()


def test_a_message_that_does_not_fit_its_arguments_breaks_no_caller(log, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log[0].warning("%d", "no number")


def test_what_holds_no_secret_is_written_as_it_was(log):
    logger, written = log
    logger.warning("%s of %d", "three", 4)
    assert written.getvalue() == "three of 4\n"
