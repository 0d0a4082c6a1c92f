"""Waiting for a server that is away."""

import pytest

from tasks.contracts.errors import ConfigError, InputError, UnavailableError
from tasks.stores.patience import patience, patiently


class Server:
    """Is away for some questions, then answers."""

    def __init__(self, away: int) -> None:
        self.away, self.asked = away, 0

    def __call__(self) -> str:
        self.asked += 1
        if self.asked <= self.away:
            raise UnavailableError(f"try {self.asked}: away")
        return "here"


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch):
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)


def test_a_server_that_comes_back_is_waited_for_and_told_of_once():
    server, said = Server(3), []
    assert patiently(server, said.append) == "here"
    assert (server.asked, said) == (4, ["try 1: away; waiting for it up to 900 s"])


def test_who_has_no_patience_hears_the_error_at_once(monkeypatch):
    monkeypatch.setenv("INGOT_PATIENCE_SECONDS", "0")
    server = Server(99)
    with pytest.raises(UnavailableError, match="try 1: away"):
        patiently(server)
    assert server.asked == 1


def test_what_cannot_heal_is_not_waited_for():
    def refuse() -> None:
        raise InputError("wrong")

    with pytest.raises(InputError, match="wrong"):
        patiently(refuse)


@pytest.mark.parametrize("given", ["soon", "-1", "nan", "inf"])
def test_patience_is_a_number_of_seconds(monkeypatch, given):
    monkeypatch.setenv("INGOT_PATIENCE_SECONDS", given)
    with pytest.raises(ConfigError, match="INGOT_PATIENCE_SECONDS is '.*', but must be a number of seconds"):
        patience()
