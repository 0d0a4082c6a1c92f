import pytest

from flows.trial import Ready, Trials, in_process
from tasks.contracts.artifacts import Dropped
from tasks.contracts.errors import ConfigError, GraphError, ModelError, TrainingError, UnavailableError
from tasks.step import step


@step(name="add", task_run_name="add {one} and {other}")
def add(one: int, other: int, *, times: int = 1) -> int:
    return (one + other) * times


def failing(error: Exception):
    @step(name="fail")
    def fail() -> int:
        raise error

    return fail


def test_in_process_unwraps_handles_and_tells_each_step_as_prefect_names_it():
    told = []
    found = in_process(told.append)(add, Ready(1), 2, times=Ready(10))
    assert (found.result(), told) == (30, ["add 1 and 2"])


@pytest.mark.parametrize("kind", [GraphError, ModelError, TrainingError])
def test_a_trial_that_fails_is_dropped_with_its_reason(kind):
    trials = Trials(in_process(lambda _: None), None)
    assert trials.attempt("dense/static", "schemes", failing(kind("no such operator"))) is None
    assert trials.dropped == [Dropped(name="dense/static", rung="schemes", reason="no such operator")]


@pytest.mark.parametrize("kind", [UnavailableError, ConfigError, ZeroDivisionError])
def test_what_no_trial_can_mend_ends_the_search(kind):
    trials = Trials(in_process(lambda _: None), None)
    with pytest.raises(kind):
        trials.attempt("dense/static", "schemes", failing(kind("away")))


def test_no_trial_starts_after_the_time_is_over():
    now = [0.0]
    trials = Trials(in_process(lambda _: None), 10, clock=lambda: now[0])
    now[0] = 9.9
    assert trials.attempt("a", "finetune", add, 1, 2).result() == 3
    now[0] = 10.0
    assert trials.attempt("b", "finetune", add, 1, 2) is None
    assert [(each.name, each.rung) for each in trials.dropped] == [("b", "time")]
    assert "evaluate.max_search_seconds is 10" in trials.dropped[0].reason
