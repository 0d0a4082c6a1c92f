import io

import pytest
from rich.console import Console

from deployments.command.progress import StepHandler, Steps, shown
from tasks.contracts.errors import DataError, IngotError, UnavailableError


def console() -> Console:
    return Console(file=io.StringIO(), width=100)


def test_each_step_is_a_line_with_what_it_took():
    screen, clock = console(), iter([0.0, 1.5, 1.75, 4.0])
    steps = Steps(screen, lambda: next(clock))
    steps.hear("ingest-3fa", "Finished in state Completed()")
    steps.hear("prune 0.25", "Finished in state Cached(type=COMPLETED)")
    steps.hear("prune-1aa", "Finished in state Failed('Task run encountered an exception DataError: no rows')")
    lines = [line.split() for line in screen.file.getvalue().splitlines()]
    assert lines == [
        ["done", "ingest", "1.5", "s"],
        ["cached", "prune", "0.25", "0.2", "s"],
        ["failed", "prune", "2.2", "s"],
    ]
    assert steps.seconds == {"ingest": 1.5, "prune": 2.5}


def test_other_lines_of_a_log_are_not_shown():
    screen = console()
    Steps(screen).hear("ingest-3fa", "reading 1,797 rows")
    assert screen.file.getvalue() == ""


def test_the_first_error_of_ours_is_kept():
    steps = Steps(console())
    steps.hear("a", "Finished in state Failed('Task run encountered an exception KeyError: 3')")
    steps.hear("b", "Finished in state Failed('Task run encountered an exception DataError: a is 1, but must not: b')")
    steps.hear("c", "Finished in state Failed('Task run encountered an exception ModelError: later')")
    assert isinstance(steps.first_error, DataError)
    assert str(steps.first_error) == "a is 1, but must not: b"


def test_an_error_of_prefects_that_only_points_to_ours_becomes_ours():
    with pytest.raises(DataError, match="^no rows$"), shown(console()):
        StepHandler.listener.hear(
            "a", 'Finished in state Failed("Task run encountered an exception DataError: no rows")'
        )
        raise RuntimeError("Upstream task run did not reach a 'Completed' state")


def test_an_error_of_ours_and_one_of_nobodys_leave_as_they_are():
    with pytest.raises(UnavailableError, match="gone"), shown(console()):
        StepHandler.listener.hear(
            "a", "Finished in state Failed('Task run encountered an exception DataError: no rows')"
        )
        raise UnavailableError("gone")
    with pytest.raises(KeyError), shown(console()):
        raise KeyError("bug")


def test_nothing_is_shown_outside_of_a_run():
    with shown(console()):
        assert StepHandler.listener is not None
    assert StepHandler.listener is None
    assert issubclass(DataError, IngotError)
