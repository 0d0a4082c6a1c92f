"""`ingot drift`: exit codes, the table, the object, and what a command line may say."""

import json
import os

import pytest

from deployments.command.drift import compose, drift_and_show
from deployments.command.edge import guarded
from tasks.contracts.config import DriftConfig
from tasks.contracts.drift import ColumnDrift, DriftReport
from tasks.contracts.errors import ConfigError, DataError
from tests.deployments.local.servers import answering

HEALTHY = {"GET /api/health": (200, True)}
QUIET = ColumnDrift(name="age", role="feature", test="ks", statistic=0.01, psi=0.001, p_value=0.9)
MOVED = QUIET.model_copy(update={"name": "[red]Ærø\x1b[31m", "psi": 0.42, "findings": ("PSI 0.42",)})
REPORT = DriftReport(
    model="digits", version="1", manifest_sha256="m", source="new.csv", rows=90, compared_rows=90, reference_rows=100,
    columns=(QUIET,), reason="none of 1 columns drifted", notes=("MLflow does not have this report: away",),
)  # fmt: skip
DRIFTED = REPORT.model_copy(update={"columns": (QUIET, MOVED), "reason": "1 of 2 columns drifted"})


@pytest.fixture
def use(tmp_path):
    """The user's own servers, of which one need be there."""
    with answering(HEALTHY) as (url, _):
        os.environ["INGOT_HOME"] = str(tmp_path)
        os.environ["PREFECT_API_URL"] = f"{url}/api"
        os.environ["MLFLOW_TRACKING_URI"] = os.environ["AWS_ENDPOINT_URL"] = url
        yield


@pytest.mark.parametrize(("report", "code"), [(REPORT, 0), (DRIFTED, 3)])
def test_the_exit_code_says_whether_there_is_drift(use, capsys, report, code):
    assert drift_and_show(DriftConfig(), as_json=True, flow=lambda _: report) == code
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["drifted"] is bool(code)
    assert DriftReport.model_validate({name: value for name, value in told.items() if name != "drifted"}) == report


def test_the_table_is_plain_without_a_terminal(use, capsys):
    drift_and_show(DriftConfig(), as_json=False, flow=lambda _: DRIFTED)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "[red]Ærø" in shown
    assert shown.index("Ærø") < shown.index("age")
    assert "1 of 2 columns drifted\nMLflow does not have this report: away\n" in shown


def test_what_cannot_be_judged_is_left_to_the_edge(use):
    def flow(_: DriftConfig) -> DriftReport:
        raise DataError("new rows are 3, but must be at least 50")

    with pytest.raises(DataError):
        drift_and_show(DriftConfig(), as_json=True, flow=flow)


def test_a_command_line_becomes_a_form():
    assert compose("m", "", "12h", ["min_psi=0.3"], samples=True) == DriftConfig(
        model_name="m", since_hours=12, min_psi=0.3
    )
    assert compose("m", "s3://b/k", "", [], samples=False) == DriftConfig(model_name="m", source="s3://b/k")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("m", "new.csv", "", []), "SOURCE is 'new.csv', but --samples takes what the server was asked: leave one out"),
        (("m", "", "soon", []), "--since is 'soon', but must be an age such as 30m"),
        (("m", "", "0h", []), "since_hours is 0"),
        (("../m", "", "", []), "model_name is '../m'"),
        (("m", "", "", ["alpa=1"]), "alpa"),
        (("m", "", "", ["alpha=2"]), "alpha is 2"),
        (("m", "", "", ["alpha"]), "--set is 'alpha', but must be FIELD=VALUE"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, words):
    with pytest.raises(ConfigError) as refused:
        compose(*arguments, samples=True)
    assert words in str(refused.value) and refused.value.exit_code == 2


@pytest.mark.parametrize(("since", "samples"), [("", True), ("2h", False)])
def test_a_source_that_was_set_counts_as_well(since, samples):
    with pytest.raises(ConfigError, match="leave"):
        compose("m", "", since, ["source=x.csv"], samples=samples)


def test_an_age_beside_a_source_is_refused(capsys):
    assert guarded(["drift", "m", "new.csv", "--since", "2h"]) == 2
    assert "only the server's samples have a time" in capsys.readouterr().err
