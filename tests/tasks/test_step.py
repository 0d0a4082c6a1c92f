from types import SimpleNamespace

import pytest
from prefect.states import Failed

from tasks.contracts.errors import DataError, IntegrityError, UnavailableError
from tasks.step import can_heal, step

FIRST = SimpleNamespace(run_count=1)
"""A task run that was tried once."""


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (UnavailableError("away"), True),
        (DataError("bad"), False),
        (IntegrityError("bad"), False),
        (KeyError("x"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_what_can_heal_by_itself_is_tried_again(error, again):
    assert can_heal(None, FIRST, Failed(data=error)) is again


def test_nobody_waits_longer_than_patience_lasts(monkeypatch):
    away = Failed(data=UnavailableError("away"))
    monkeypatch.setenv("INGOT_PATIENCE_SECONDS", "0")
    assert not can_heal(None, FIRST, away)
    monkeypatch.setenv("INGOT_PATIENCE_SECONDS", "7")
    assert [can_heal(None, SimpleNamespace(run_count=count), away) for count in (1, 2, 3, 4)] == [True] * 3 + [False]


def test_a_step_waits_longer_each_time():
    @step(name="waits")
    def waits() -> None:
        """Does nothing."""

    delays = waits.retry_delay_seconds
    assert waits.retries == len(delays) and delays == sorted(delays)
    assert delays[:3] == [2, 4, 8] and 600 <= sum(delays) <= 1200
