"""`ingot keys`, `ingot usage`, `ingot audit`, as typed on a command line, on a store in a folder."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from deployments.command import books
from deployments.command.books import moment_of, rate_of
from deployments.command.edge import guarded
from deployments.serving.access.audit import AuditLog, files_of
from deployments.serving.access.usage import DATABASE, Place, Usage
from tasks.contracts.errors import ConfigError
from tasks.stores.access import Keys
from tasks.stores.s3 import Store


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A store and a state folder of our own; no stack is started."""
    monkeypatch.setenv("INGOT_BUCKET", f"file://{tmp_path}/bucket")
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("INGOT_SERVING_STATE", raising=False)
    state = tmp_path / "home" / "serving"
    state.mkdir(parents=True)
    return state


def said(capsys, *arguments, code=0):
    assert guarded(arguments) == code
    told = capsys.readouterr()
    return told.out if code == 0 else told.err


def made(capsys, *arguments):
    return json.loads(said(capsys, "keys", "add", *arguments, "--json"))


def test_a_key_is_made_with_its_limits_and_its_token_is_shown_once(capsys):
    arguments = ["web", "--model", "digits", "--model", "iris", "--rate", "100/s", "--daily", "1000000"]
    told = said(capsys, "keys", "add", *arguments, "--expires", "90d")
    (key,) = Keys(Store.from_environment()).list()
    assert (key.name, key.models, key.rate_per_second, key.daily) == ("web", ("digits", "iris"), 100.0, 1_000_000)
    ends = datetime.fromisoformat(key.expires_at) - datetime.now(UTC)
    assert timedelta(days=89) < ends <= timedelta(days=90)
    (token,) = [line for line in told.splitlines() if line.startswith(f"ingot_{key.id}_")]
    assert token not in said(capsys, "keys", "list")
    assert key.sha256 not in said(capsys, "keys", "list", "--json")


def test_keys_are_listed_with_their_state_and_revoked_by_id(capsys):
    assert "no key yet" in said(capsys, "keys", "list")
    first, second = made(capsys, "web [red]", "--rate", "90/min"), made(capsys, "batch")
    assert "is revoked since" in said(capsys, "keys", "revoke", second["id"])
    told = json.loads(said(capsys, "keys", "list", "--json"))["keys"]
    assert [(key["id"], key["state"], key["rate_per_second"]) for key in told] == [
        (first["id"], "live", 1.5),
        (second["id"], "revoked", 0.0),
    ]
    table = said(capsys, "keys", "list")
    assert "web [red]" in table
    assert "1.5/s" in table


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["web", "--model", "Digits"], "--model is 'Digits', but must begin with a-z or 0-9"),
        (["web", "--rate", "fast"], "--rate is 'fast', but must be requests a second, minute or hour"),
        (["web", "--rate", "0/s"], "--rate is '0/s', but must be"),
        (["web", "--daily", "-1"], "daily is -1, but must"),
        (["web", "--expires", "soon"], "--expires is 'soon', but must be a span or a day to come"),
        (["web", "--expires", "2020-01-01"], "--expires is '2020-01-01', but must be"),
        (["", "--rate", "1/s"], "name is '', but must"),
    ],
)
def test_wrong_options_are_refused_in_one_line_and_nothing_is_made(capsys, arguments, words):
    told = said(capsys, "keys", "add", *arguments, code=2)
    assert words in told
    assert told.count("\n") == 1
    assert Keys(Store.from_environment()).list() == ()


def test_a_stack_that_does_not_run_is_started_on_loopback_and_one_that_does_is_left_alone(monkeypatch):
    monkeypatch.setenv("INGOT_SERVING_HOST", "0.0.0.0")
    monkeypatch.setenv("INGOT_BUCKET", "ingot")
    started, applied = [], []
    monkeypatch.setattr(books, "connect", lambda settings: started.append(settings.serving_host))
    monkeypatch.setattr(books, "apply", lambda settings, addresses, to: applied.append(addresses.serving_url))
    for state in (None, object()):
        monkeypatch.setattr(books, "running", lambda settings, state=state: state)
        books._reach_store(books.read_settings())
    assert (started, applied) == (["127.0.0.1"], ["http://0.0.0.0:8080"])


def test_a_key_that_does_not_exist_cannot_be_revoked(capsys):
    assert "key 'deadbeef' does not exist" in said(capsys, "keys", "revoke", "deadbeef", code=2)


@pytest.mark.parametrize(("text", "rate"), [("5/h", 5 / 3600), ("2.5 / sec", 2.5), ("60/minute", 1.0), ("", 0.0)])
def test_a_rate_is_said_by_second_minute_or_hour(text, rate):
    assert rate_of(text) == pytest.approx(rate)


def test_an_end_is_a_span_or_a_day():
    day = (datetime.now(UTC) + timedelta(days=40)).date()
    assert moment_of(str(day)) == f"{day}T00:00:00+00:00"
    assert moment_of(f"{day}T01:00:00+01:00") == f"{day}T00:00:00+00:00"
    assert datetime.fromisoformat(moment_of("12h")) - datetime.now(UTC) > timedelta(hours=11)
    assert moment_of("") == ""
    for wrong in ("99999d9", "1w", "-3d", "2027-13-01"):
        with pytest.raises(ConfigError, match="must be a span or a day to come"):
            moment_of(wrong)


def test_usage_says_what_was_used_and_where_it_was_counted(capsys, place):
    usage = Usage(place / DATABASE)
    usage.prepare()
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    for key, day, count in (("0a1b2c3d", today, 1500), ("", today, 2), ("0a1b2c3d", "2020-01-01", 9)):
        usage.tally(Place(key, "digits", day)).requests += count
    usage.name({"0a1b2c3d": "web"})
    usage.write()
    table = said(capsys, "usage")
    assert "1,500" in table
    assert "web" in table
    assert "2020" not in table
    assert f"counted on this machine, in {place / DATABASE}" in table
    told = json.loads(said(capsys, "usage", "--key", "0a1b2c3d", "--days", "100000", "--json"))
    assert [row["requests"] for row in told["usage"]] == [1500, 9]
    assert told["database"] == str(place / DATABASE)


def test_usage_of_nothing_says_so(capsys):
    assert "usage.db does not exist, but must" in said(capsys, "usage", code=2)


def test_an_audit_log_is_whole_or_the_break_is_named(capsys, place):
    log = AuditLog(place / "audit")
    for number in range(5):
        log.add({"event": "request", "request": str(number)})
    log.close()
    told = said(capsys, "audit", "verify")
    assert "whole: 7 lines in 1 chains" in told
    (chain,) = json.loads(said(capsys, "audit", "verify", str(place / "audit"), "--json"))["chains"]
    assert (chain["lines"], len(chain["head"])) == (7, 64)
    assert chain["head"] in told
    (path,) = files_of(place / "audit" / "0")
    path.write_bytes(path.read_bytes().replace(b'"request":"3"', b'"request":"4"'))
    assert f"{path}, line 6 does not follow on the line before" in said(capsys, "audit", "verify", code=1)


def test_a_folder_without_an_audit_log_is_the_users_mistake(capsys, tmp_path):
    assert "holds no audit log" in said(capsys, "audit", "verify", str(tmp_path), code=2)
