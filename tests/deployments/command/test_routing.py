import pytest

from deployments.command.routing import changed, told
from tasks.contracts.errors import ConfigError, InputError
from tasks.stores.journal import Journal
from tasks.stores.pem import new_key
from tasks.stores.s3 import Store


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A bucket with versions 1 and 2 of digits."""
    monkeypatch.setenv("INGOT_SIGNING_KEY", new_key().decode())
    store = Store.from_environment(f"file://{tmp_path}")
    for version in ("1", "2"):
        facts = {"version": version, "manifest": version * 64, "run_key": version, "actor": "test", "reason": "test"}
        Journal(store, "digits").append(action="publish", **facts)
    return store


def test_a_canary_and_a_shadow_are_set_kept_and_cleared(store):
    changed(store, "digits", "2=0.1", "", clear=False)
    both = changed(store, "digits", "", "1=1", clear=False)
    assert told("digits", both) == (
        "digits: version 2 answers 0.1 of the callers as canary, version 1 is asked 1 of the requests as shadow"
    )
    assert both.canary.manifest == "2" * 64
    assert changed(store, "digits", "", "", clear=False) == both
    assert told("digits", changed(store, "digits", "", "", clear=True)) == "digits: the champion answers all"


def test_clear_ends_what_is_not_named(store):
    changed(store, "digits", "2=0.1", "1=1", clear=False)
    left = changed(store, "digits", "2=0.5", "", clear=True)
    assert (left.seq, left.canary.weight, left.shadow) == (2, 0.5, None)


@pytest.mark.parametrize("text", ["2", "2=", "=0.1", "2=1.5", "2=-1", "2=nan", "2=all"])
def test_refuses_what_is_no_share_by_name(store, text):
    with pytest.raises(ConfigError, match=r"--canary is '.*', but must be VERSION=SHARE, the share from 0 to 1"):
        changed(store, "digits", text, "", clear=False)


def test_refuses_a_version_that_was_never_published(store):
    with pytest.raises(InputError, match="version '3' does not exist: known: 1, 2"):
        changed(store, "digits", "3=0.1", "", clear=False)
