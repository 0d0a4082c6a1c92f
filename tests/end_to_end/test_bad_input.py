"""Every mistake gets one line with place and mend, the right exit code, and leaves nothing half-written."""

import json

import pytest

from tests.end_to_end.bad_input import CASES, QUICK, Case

pytestmark = pytest.mark.end_to_end


def model_name(number: int) -> str:
    return f"bad-{number}"


def command(case: Case, number: int, folder) -> list[str]:
    folder.mkdir()
    source = case.source if isinstance(case.source, str) else str(case.source(folder))
    settings = {"model_name": model_name(number), "ingest.source": source, **QUICK, **case.settings}
    return ["run", "digits", *(word for name, value in settings.items() for word in ("--set", f"{name}={value}"))]


@pytest.fixture(scope="module")
def answers(stack, tmp_path_factory):
    """What every case answered, by name."""
    folder = tmp_path_factory.mktemp("bad")
    lines = [
        {"arguments": command(case, number, folder / str(number)), "environment": case.environment}
        for number, case in enumerate(CASES)
    ]
    done = stack.python("-m", "tests.end_to_end.many_commands", stdin=json.dumps(lines))
    return {case.name: answer for case, answer in zip(CASES, json.loads(done.stdout), strict=True)}


def test_there_are_at_least_forty_different_mistakes():
    assert len({case.name for case in CASES}) == len(CASES) >= 40


@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_a_mistake_gets_one_line_with_place_and_mend(case, answers):
    answer = answers[case.name]
    errors = [line for line in answer["stderr"].splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, answer["stderr"]
    assert case.words in errors[0]
    assert ": " in errors[0].removeprefix("error: "), "a message says the next move after a colon"
    assert answer["exit_code"] == case.exit_code
    assert "Traceback" not in answer["stderr"] + answer["stdout"]


def test_nothing_is_left_half_written(answers, stack):
    client = stack.mlflow()
    for number, case in enumerate(CASES):
        assert not list(stack.journal("any").store.keys(f"models/{model_name(number)}/")), case.name
        experiment = client.get_experiment_by_name(model_name(number))
        runs = client.search_runs([experiment.experiment_id]) if experiment else []
        assert all(run.info.status == "FAILED" for run in runs), case.name
    assert not [m.name for m in client.search_registered_models() if m.name.startswith("bad-")]
