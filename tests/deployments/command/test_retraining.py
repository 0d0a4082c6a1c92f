import json
import os
import threading

import pytest

from deployments.command.retraining import await_service, retrain_and_show
from tasks.contracts.config import RetrainConfig
from tasks.contracts.errors import DataError, UnavailableError
from tasks.contracts.version import ModelVersion
from tests.deployments.local.servers import answering

VERSION = ModelVersion(model="digits", version="3", seq=1, status="published")
HEALTHY = {"GET /api/health": (200, True)}
READY = "GET /v2/models/digits/versions/3/ready"


@pytest.fixture
def use(tmp_path):
    """Lets the user run all servers himself, at one address."""

    def point_to(url: str) -> None:
        os.environ["INGOT_HOME"] = str(tmp_path)
        os.environ["PREFECT_API_URL"] = f"{url}/api"
        os.environ["MLFLOW_TRACKING_URI"] = os.environ["AWS_ENDPOINT_URL"] = url
        os.environ["INGOT_SERVING_PORT"] = url.rsplit(":", 1)[1]

    return point_to


def test_the_flow_gets_the_form_and_the_last_line_is_its_result(use, capsys):
    got = []

    def flow(config: RetrainConfig) -> ModelVersion:
        got.append(config)
        return VERSION

    with answering(HEALTHY) as (url, _):
        use(url)
        assert retrain_and_show(RetrainConfig(seed=5), as_json=True, flow=flow) == 0
    assert got == [RetrainConfig(seed=5)]
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["version"] == "3"


@pytest.mark.parametrize(("status", "code"), [("published", 0), ("unchanged", 0), ("rejected", 1)])
def test_the_exit_code_says_whether_there_is_a_version(use, status, code):
    with answering(HEALTHY) as (url, _):
        use(url)
        version = VERSION.model_copy(update={"status": status})
        assert retrain_and_show(RetrainConfig(), as_json=True, flow=lambda _: version) == code


def test_a_new_champion_is_waited_for(use):
    answers = dict(HEALTHY)
    with answering(answers) as (url, got):
        use(url)
        threading.Timer(0.5, answers.update, [{READY: (200, {})}]).start()
        version = VERSION.model_copy(update={"champion": True})
        assert retrain_and_show(RetrainConfig(), as_json=True, flow=lambda _: version) == 0
    assert got.count(READY) >= 2


def test_a_champion_that_is_never_served_is_told(use):
    with answering({}) as (url, _), pytest.raises(UnavailableError) as caught:
        await_service(url, VERSION, patience_seconds=0.3)
    assert str(caught.value).startswith("digits version 3 is published, but not served after 0.3 s: see `ingot status`")


def test_an_error_of_the_flow_leaves_as_it_is(use):
    def flow(_: RetrainConfig) -> ModelVersion:
        raise DataError("rows.csv is empty, but must hold rows: give another")

    with answering(HEALTHY) as (url, _):
        use(url)
        with pytest.raises(DataError, match=r"^rows.csv is empty"):
            retrain_and_show(RetrainConfig(), as_json=True, flow=flow)


def test_a_prefect_server_that_is_away_is_told_before_anything_is_done(use):
    use("http://127.0.0.1:9999")
    with pytest.raises(UnavailableError, match=r"the Prefect server does not answer \(.*refused.*\): start it, or"):
        retrain_and_show(RetrainConfig(), as_json=True, flow=lambda _: VERSION)


def test_the_result_is_told_without_tables_that_have_nothing_to_show(use, capsys):
    with answering(HEALTHY) as (url, _):
        use(url)
        rejected = VERSION.model_copy(update={"status": "rejected", "version": "", "reason": "accuracy is 0.2"})
        retrain_and_show(RetrainConfig(), as_json=False, flow=lambda _: rejected)
    out = capsys.readouterr().out
    assert out.startswith("digits: rejected: accuracy is 0.2\n")
    assert "curl" not in out
