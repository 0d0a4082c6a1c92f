"""Runs whose process is gone, on a real MLflow server."""

import secrets
from collections.abc import Callable

import pytest

from tasks.stores import tracking
from tasks.stores.flow_runs import why_over
from tasks.stores.tracking import phantoms
from tasks.stores.tracking.client import client

OVER, ALIVE = {"prefect.flow_run_id": "over"}, {"prefect.flow_run_id": "alive"}


def judge(flow_run_id: str, _: str) -> str:
    return "its flow run is Crashed" if flow_run_id == "over" else ""


@pytest.fixture
def name(mlflow_address: str, tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path))
    return f"model-{secrets.token_hex(4)}"


def status(run_id: str) -> str:
    return str(client().get_run(run_id).info.status)


def swept(name: str, judge: Callable[[str, str], str] = judge, young: float = 0.0) -> set[str]:
    return {phantom.run_id for phantom in phantoms.end_phantoms(judge, name, young)}


def test_a_run_whose_flow_run_is_over_is_ended_with_its_children_and_says_why(name):
    parent = tracking.open_run(name, "a", {}, OVER)
    child = tracking.child_run(parent, "dense/none", {}, {})
    assert swept(name) == {parent, child}
    assert [status(run) for run in (parent, child)] == ["KILLED", "KILLED"]
    assert client().get_run(parent).data.tags["ingot.ended"] == "its flow run is Crashed"
    assert client().get_run(child).data.tags["ingot.ended"] == "the run it belongs to has ended"
    assert swept(name) == set()


def test_what_lives_or_is_young_or_is_not_ours_is_left_alone(name):
    alive = tracking.open_run(name, "b", {}, ALIVE)
    child = tracking.child_run(alive, "dense/none", {}, {})
    lone = tracking.open_run(name, "rebuilt version 1", {}, {})
    experiment = client().get_run(alive).info.experiment_id
    foreign = client().create_run(experiment, tags=OVER).info.run_id
    assert swept(name) == set()
    young = tracking.open_run(name, "c", {}, OVER)
    assert swept(name, young=300.0) == set()
    assert {status(run) for run in (alive, child, lone, foreign, young)} == {"RUNNING"}


def test_a_child_whose_parent_has_ended_is_ended(name):
    parent = tracking.open_run(name, "a", {}, ALIVE)
    child = tracking.child_run(parent, "dense/none", {}, {})
    tracking.close_run(parent)
    assert swept(name) == {child}


def test_a_run_that_no_flow_run_made_is_ended_after_a_day(name, monkeypatch):
    lone = tracking.open_run(name, "rebuilt version 1", {}, {})
    monkeypatch.setattr(phantoms, "LONE_SECONDS", 0.0)
    assert swept(name) == {lone}


def test_while_prefect_cannot_say_nobody_is_judged(monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert why_over("f" * 32, "") == ""
