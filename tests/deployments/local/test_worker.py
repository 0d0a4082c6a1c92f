import subprocess
import sys

import httpx
import pytest

from deployments.local.worker import close_orphans
from tests.deployments.local.servers import answering

FILTER = "POST /api/flow_runs/filter"


def answers(*runs: dict) -> dict:
    closing = {f"POST /api/flow_runs/{run['id']}/set_state": (201, {}) for run in runs}
    return {FILTER: (200, list(runs))} | closing


def test_runs_whose_process_is_gone_are_closed():
    runs = [
        {"id": "a", "infrastructure_pid": "999999999"},
        {"id": "b", "infrastructure_pid": "host:999999999"},
        {"id": "c", "infrastructure_pid": None},
    ]
    with answering(answers(*runs)) as (url, got):
        assert close_orphans(f"{url}/api") == ["a", "b", "c"]
    assert got == [FILTER, *(f"POST /api/flow_runs/{name}/set_state" for name in "abc")]


def test_a_run_that_another_worker_holds_is_left_alone_and_a_pid_of_somebody_else_is_not_its():
    sleep = [sys.executable, "-c", "import sys, time; time.sleep(60)"]
    with subprocess.Popen([*sleep, "prefect.engine"]) as engine, subprocess.Popen(sleep) as stranger:
        runs = [
            {"id": "held", "infrastructure_pid": str(engine.pid)},
            {"id": "gone", "infrastructure_pid": str(stranger.pid)},
        ]
        with answering(answers(*runs)) as (url, _):
            assert close_orphans(f"{url}/api") == ["gone"]
        engine.kill()
        stranger.kill()


def test_a_server_that_is_away_is_told():
    with pytest.raises(httpx.HTTPError):
        close_orphans("http://127.0.0.1:9/api")
