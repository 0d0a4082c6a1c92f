from datetime import UTC, datetime, timedelta

import httpx
import pytest
from tenacity import stop_after_attempt

from deployments.local.health import ask_prefect, problem_of
from deployments.local.state import Addresses
from tests.deployments.local.servers import answering

WORKERS = "POST /api/work_pools/ingot/workers/filter"


def addresses(url: str) -> Addresses:
    return Addresses(
        prefect_api_url=f"{url}/api", mlflow_tracking_uri=url, s3_endpoint_url=url, bucket="ingot", serving_url=url
    )


def heartbeat(seconds_ago: float | None) -> dict[str, str | None]:
    if seconds_ago is None:
        return {"last_heartbeat_time": None}
    return {"last_heartbeat_time": (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()}


def test_a_part_that_says_it_is_well_has_no_problem():
    answers = {"GET /api/health": (200, True), "GET /health": (200, "OK"), "GET /v2/health/live": (200, {})}
    with answering(answers) as (url, _):
        assert [problem_of(part, addresses(url)) for part in ("prefect", "mlflow", "serving")] == ["", "", ""]


def test_a_part_that_answers_with_a_fault_is_not_well():
    with answering({"GET /health": (503, {})}) as (url, _):
        assert problem_of("mlflow", addresses(url)) == f"{url}/health answered 503"


def test_a_part_that_does_not_answer_is_not_well():
    assert "refused" in problem_of("prefect", addresses("http://127.0.0.1:9"))


def test_a_tracking_folder_of_the_users_needs_no_server():
    own = addresses("http://127.0.0.1:9").model_copy(update={"mlflow_tracking_uri": "sqlite:///runs.db"})
    assert problem_of("mlflow", own) == ""


def test_s3_that_does_not_answer_is_told_in_our_words(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    assert "127.0.0.1:9" in problem_of("s3", addresses("http://127.0.0.1:9"))


@pytest.mark.parametrize(
    ("seconds_ago", "problem"),
    [
        ([5], ""),
        ([300, 20], ""),
        ([300], "the last heartbeat was 3"),
        ([], "no heartbeat has reached the Prefect server yet"),
        ([None], "no heartbeat has reached the Prefect server yet"),
    ],
)
def test_a_worker_is_as_well_as_its_last_heartbeat(seconds_ago, problem):
    with answering({WORKERS: (200, [heartbeat(each) for each in seconds_ago])}) as (url, _):
        found = problem_of("worker", addresses(url), since=1.0)
    assert found.startswith(problem) and bool(found) == bool(problem)


def test_a_heartbeat_of_its_predecessor_does_not_count():
    with answering({WORKERS: (200, [heartbeat(5)])}) as (url, _):
        assert "no heartbeat" in problem_of("worker", addresses(url), since=datetime.now(UTC).timestamp())


def test_a_worker_whose_pool_is_not_made_yet_is_not_well():
    with answering({}) as (url, _):
        assert problem_of("worker", addresses(url)) == "work pool 'ingot' does not exist yet"


def test_the_users_prefect_server_is_asked_with_his_credentials(monkeypatch):
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_1")
    with answering({"GET /api/x": (200, 1)}) as (url, got):
        assert ask_prefect("GET", f"{url}/api/x") == 1
        monkeypatch.delenv("PREFECT_API_KEY")
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:pass")
        assert ask_prefect("GET", f"{url}/api/x") == 1
    assert got == ["GET /api/x Bearer pnu_1", "GET /api/x Basic YWRtaW46cGFzcw=="]


def test_a_busy_prefect_is_asked_again(monkeypatch):
    answers = {"GET /api/health": (503, {})}
    with answering(answers) as (url, got):
        monkeypatch.setattr(ask_prefect.retry, "sleep", lambda _: answers.update({"GET /api/health": (200, True)}))
        assert ask_prefect("GET", f"{url}/api/health") is True
    assert len(got) == 2


def test_a_prefect_that_stays_busy_is_told_as_it_is(monkeypatch):
    monkeypatch.setattr(ask_prefect.retry, "stop", stop_after_attempt(3))
    monkeypatch.setattr(ask_prefect.retry, "sleep", lambda _: None)
    with answering({"GET /api/health": (503, {})}) as (url, got), pytest.raises(httpx.HTTPStatusError, match="503"):
        ask_prefect("GET", f"{url}/api/health")
    assert len(got) == 3
