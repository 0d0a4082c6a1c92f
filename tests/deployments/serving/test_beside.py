import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.serving.app import App
from deployments.serving.figures import Figures
from deployments.serving.library import Library, place_of
from deployments.serving.refusal import Refusal
from deployments.serving.seen import Seen
from deployments.serving.watcher import Watcher
from tasks.contracts.routing import Share
from tasks.stores.history import publication_of
from tasks.stores.journal import Journal
from tasks.stores.routing import Routes

BODY = {"inputs": [{"a": 1, "b": 0}]}


@pytest.fixture
def three(tiny, store):
    """Versions 1 to 3 that answer by their number, the last one champion."""
    for version in (1, 2, 3):
        tiny.publish(store, "numbers", str(version), tiny.numbers(float(version)))
    return store


def share(store, version, weight):
    return Share(version=version, manifest=publication_of(Journal(store, "numbers"), version).manifest, weight=weight)


def followed(store, **more):
    library, figures = Library(), Figures()
    watcher = Watcher(store, library, figures=figures, **more)
    watcher.look()
    return library, watcher, App(library, figures=figures), figures


def version_of(tiny, app, session="", path="/predict/numbers"):
    headers = [(b"x-session-id", session.encode())] if session else []
    return tiny.call(app, "POST", path, BODY, headers=headers).headers["x-model-version"]


def test_a_canary_answers_its_share_of_the_callers_and_each_of_them_always(tiny, three):
    Routes(three, "numbers").change(canary=share(three, "1", 0.3))
    _, _, app, _ = followed(three)
    callers = [f"session-{number}" for number in range(200)]
    first = {caller: version_of(tiny, app, caller) for caller in callers}
    assert set(first.values()) == {"1", "3"}
    assert 30 < list(first.values()).count("1") < 90
    assert {caller: version_of(tiny, app, caller) for caller in callers} == first


@given(st.binary(min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_a_canary_that_grows_lets_nobody_go(key, one, other):
    small, large = sorted((one, other))
    if place_of("m", key) < small:
        assert place_of("m", key) < large
    assert 0 <= place_of("m", key) < 1


def test_a_version_that_is_asked_for_goes_past_the_canary(tiny, three):
    Routes(three, "numbers").change(canary=share(three, "1", 1.0))
    _, _, app, _ = followed(three)
    assert version_of(tiny, app) == "1"
    tensor = {"name": "features", "shape": [1, 2], "datatype": "FP32", "data": [1, 0]}
    reply = tiny.call(app, "POST", "/v2/models/numbers/versions/3/infer", {"inputs": [tensor]})
    assert (reply.body["model_version"], reply.headers["x-model-version"]) == ("3", "3")
    assert reply.body["outputs"][0]["data"] == [3.0]


def test_a_routing_is_followed_as_it_changes(tiny, three):
    library, watcher, app, _ = followed(three)
    assert version_of(tiny, app) == "3"
    Routes(three, "numbers").change(canary=share(three, "2", 1.0))
    watcher.look()
    assert version_of(tiny, app) == "2"
    Routes(three, "numbers").change(canary=None)
    watcher.look()
    assert version_of(tiny, app) == "3"
    assert library.shelf("numbers").refused == 0


def test_a_bad_canary_is_refused_and_the_champion_answers_all(tiny, three):
    manifest = Journal(three, "numbers").get_manifest(share(three, "1", 1.0).manifest)
    three.objects[f"blobs/sha256/{manifest.files[0].artifact.sha256}"] = b"broken"
    Routes(three, "numbers").change(canary=share(three, "1", 1.0))
    library, _, app, _ = followed(three)
    assert version_of(tiny, app) == "3"
    assert library.shelf("numbers").refused == 1


def test_a_routing_that_names_what_was_never_published_is_refused(tiny, three):
    Routes(three, "numbers").change(canary=Share(version="1", manifest="0" * 64, weight=1.0))
    library, _, app, _ = followed(three)
    assert version_of(tiny, app) == "3"
    assert "`ingot route numbers`" in library.shelf("numbers").last_refusal


def test_an_older_routing_that_is_put_back_is_refused(tiny, three, tmp_path):
    routes, key = Routes(three, "numbers"), "models/numbers/routing.json"
    routes.change(canary=share(three, "1", 1.0))
    old = three.objects[key]
    routes.change(canary=None)
    followed(three, seen=Seen(tmp_path))
    three.objects[key] = old
    library, _, app, _ = followed(three, seen=Seen(tmp_path))  # another process, with the same notes
    assert version_of(tiny, app) == "3"
    assert "somebody put an old pointer back" in library.shelf("numbers").last_refusal


def test_a_shadow_is_asked_afterwards_and_only_its_agreement_is_kept(tiny, three):
    Routes(three, "numbers").change(shadow=share(three, "1", 1.0))
    _, _, app, figures = followed(three)
    for _ in range(3):
        reply = tiny.call(app, "POST", "/predict/numbers", {"inputs": [{"a": 1, "b": 0}, {"a": 2, "b": 3}]})
        assert (reply.body["version"], [each["value"] for each in reply.body["outputs"]]) == ("3", [3.0, 15.0])
    place = ("numbers", "1")
    tiny.wait_until(lambda: dict(figures.snapshot()["ingot_shadow_requests"]).get(place) == 3)
    tiny.wait_until(lambda: dict(figures.snapshot()["ingot_shadow_largest_difference"]).get(place) == 10.0)
    assert dict(figures.snapshot()["ingot_shadow_rows"])[place] == 6


def test_a_shadow_that_cannot_answer_is_counted_and_nobody_notices(tiny, store):
    tiny.publish(store, "numbers", "1", tiny.image())
    tiny.publish(store, "numbers", "2", tiny.numbers())
    Routes(store, "numbers").change(shadow=share(store, "1", 1.0))
    _, _, app, figures = followed(store)
    assert tiny.call(app, "POST", "/predict/numbers", BODY).status == 200
    tiny.wait_until(lambda: dict(figures.snapshot()["ingot_shadow_failed"]) == {("numbers", "1"): 1})


def test_the_labels_of_a_shadow_are_held_against_the_champions(tiny, store):
    tiny.publish(store, "mixed", "1", tiny.mixed(bias=-50.0))
    tiny.publish(store, "mixed", "2", tiny.mixed())
    first = publication_of(Journal(store, "mixed"), "1")
    Routes(store, "mixed").change(shadow=Share(version="1", manifest=first.manifest, weight=1.0))
    _, _, app, figures = followed(store)
    rows = [{"age": 41, "city": "Oslo", "height": 1.8}, {"age": 0, "city": "Bergen", "height": 1.0}]
    assert [each["label"] for each in tiny.call(app, "POST", "/predict/mixed", {"inputs": rows}).body["outputs"]] == [
        "yes",
        "no",
    ]
    tiny.wait_until(lambda: dict(figures.snapshot()["ingot_shadow_rows"]) == {("mixed", "1"): 2})
    assert dict(figures.snapshot()["ingot_shadow_agreeing_rows"]) == {("mixed", "1"): 1}


def test_a_pinned_version_stays_addressable_whoever_is_champion(tiny, store):
    for version in range(1, 7):
        tiny.publish(store, "numbers", str(version), tiny.numbers(float(version)))
    library, _, app, _ = followed(store, pins={"numbers": ("2",)})
    assert library.find("numbers", "2").version == "2"
    assert version_of(tiny, app) == "6"
    assert tiny.call(app, "GET", "/v2/models/numbers/versions/2/ready").status == 200
    with pytest.raises(Refusal, match="known: 2, 6"):
        library.find("numbers", "4")


def test_a_pin_that_does_not_exist_is_told(tiny, three):
    library, _, app, _ = followed(three, pins={"numbers": ("9",)})
    assert "version '9' does not exist: known: 1, 2, 3" in library.shelf("numbers").last_refusal
    assert version_of(tiny, app) == "3"
