from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.command.moments import age, moment
from tasks.contracts.errors import ConfigError

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30m", timedelta(minutes=30)), ("12h", timedelta(hours=12)), ("7d", timedelta(7)), ("2w", timedelta(14)),
     (" 0h ", timedelta(0))],
)  # fmt: skip
def test_an_age_is_a_number_and_a_unit(text, expected):
    assert age(text, "--older-than") == expected


@pytest.mark.parametrize("text", ["", "7", "d", "7 days", "-1d", "1.5h", "1y", "999999d"])
def test_what_is_no_age_is_refused(text):
    with pytest.raises(ConfigError, match=r"--older-than is '.*', but must be an age such as 30m, 12h, 7d or 2w"):
        age(text, "--older-than")


def test_a_moment_is_iso_8601_in_the_local_zone_unless_it_names_one():
    assert moment("2026-11-21T02:00", "--to-time", NOW) == datetime(2026, 11, 21, 1, tzinfo=UTC)
    assert moment("2026-11-21T02:00Z", "--to-time", NOW) == datetime(2026, 11, 21, 2, tzinfo=UTC)
    assert moment("2026-11-21", "--to-time", NOW) == datetime(2026, 11, 20, 23, tzinfo=UTC)


def test_a_moment_may_be_told_by_its_age():
    assert moment("2h", "--to-time", NOW) == moment("2h ago", "--to-time", NOW) == NOW - timedelta(hours=2)


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01"])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(ConfigError, match="must be a time such as 2026-11-21T02:00, or an age such as 3d"):
        moment(text, "--to-time", NOW)


def test_a_moment_that_lies_ahead_is_refused():
    with pytest.raises(ConfigError, match="must not lie ahead of"):
        moment("2026-11-25T13:00", "--to-time", NOW)


@given(st.datetimes(datetime(1970, 1, 2), datetime(2026, 11, 25), timezones=st.just(UTC)))
def test_what_a_journal_shows_is_read(time):
    assert moment(time.isoformat(), "--to-time", NOW) == time
