import pytest
from prefect.states import Failed

from tasks.contracts.errors import DataError, IntegrityError, UnavailableError
from tasks.step import can_heal, step


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
    assert can_heal(None, None, Failed(data=error)) is again


def test_a_step_waits_longer_each_time():
    @step(name="waits")
    def waits() -> None:
        """Does nothing."""

    delays = waits.retry_delay_seconds
    assert waits.retries == len(delays) and delays == sorted(delays)
    assert delays[:3] == [2, 4, 8] and 600 <= sum(delays) <= 1200
