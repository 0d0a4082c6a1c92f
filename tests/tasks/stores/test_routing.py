import pytest

from tasks.contracts.errors import InputError, IntegrityError
from tasks.contracts.routing import Routing, Share
from tasks.stores.history import publication_of
from tasks.stores.journal import Journal
from tasks.stores.pem import new_key
from tasks.stores.routing import Routes
from tasks.stores.s3 import Store
from tasks.stores.signing import Keyring

CANARY = Share(version="2", manifest="b" * 64, weight=0.1)


@pytest.fixture
def store(tmp_path):
    return Store.from_environment(f"file://{tmp_path}")


def test_the_champion_answers_alone_until_something_else_is_said(store):
    assert Routes(store, "digits").read() == Routing(seq=0)


def test_every_change_adds_one_and_leaves_what_it_does_not_name(store):
    routes = Routes(store, "digits")
    shadow = CANARY.model_copy(update={"version": "3"})
    routes.change(canary=CANARY)
    assert routes.change(shadow=shadow) == Routing(seq=2, canary=CANARY, shadow=shadow) == routes.read()
    assert routes.change(canary=None, shadow=None) == Routing(seq=3)


def test_a_change_that_another_overtook_is_made_again(store):
    class Overtaken(Routes):
        def envelope(self):
            found = super().envelope()
            if found is None:
                Routes(store, "digits").change(shadow=CANARY)
            return found

    assert Overtaken(store, "digits").change(canary=CANARY) == Routing(seq=2, canary=CANARY, shadow=CANARY)


def test_a_routing_that_a_stranger_signed_is_refused(store):
    stranger = Keyring.from_environment({"INGOT_SIGNING_KEY": new_key().decode()})
    Routes(store, "digits", stranger).change(canary=CANARY)
    with pytest.raises(IntegrityError, match=r"routing\.json"):
        Routes(store, "digits").read()


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_share_lies_between_nothing_and_all(weight):
    with pytest.raises(ValueError, match="weight"):
        Share(version="1", manifest="a", weight=weight)


def test_a_version_that_was_never_published_is_unknown(store):
    journal = Journal(store, "digits")
    journal.append(action="publish", version="1", manifest="a", run_key="r", actor="t", reason="t")
    assert publication_of(journal, "1", "version").manifest == "a"
    with pytest.raises(InputError, match="version '2' does not exist: known: 1"):
        publication_of(journal, "2", "version")
