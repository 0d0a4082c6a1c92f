import os
import time
from pathlib import Path

import pytest

from deployments.local.connection import connect
from deployments.local.environment import RESILIENT, addresses_of
from deployments.local.settings import Settings
from deployments.local.state import PartState, ProcessId, StackState, write_state
from tasks.contracts.errors import ConfigError

NAMES = ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL")


def pretend_to_run(settings: Settings, state: str = "running") -> None:
    settings.place.prepare()
    me = ProcessId.of(os.getpid())
    part = PartState.model_validate({"state": state, "address": "here", "process": me, "since": time.time()})
    addresses = addresses_of(settings)
    write_state(settings.place, StackState(supervisor=me, root="/", addresses=addresses, parts={"s3": part}))


def test_nothing_is_started_for_a_user_with_servers_of_his_own(tmp_path):
    for name in NAMES:
        os.environ[name] = "http://127.0.0.1:9"
    before = dict(os.environ)
    settings = Settings(home=tmp_path / "home")
    assert connect(settings).prefect_api_url == "http://127.0.0.1:9"
    assert dict(os.environ) == RESILIENT | before
    assert not (tmp_path / "home").exists()


def test_a_stack_that_runs_is_used_as_it_is(tmp_path):
    settings = Settings(home=tmp_path)
    pretend_to_run(settings)
    addresses = connect(settings)
    assert os.environ["PREFECT_API_URL"] == addresses.prefect_api_url == "http://127.0.0.1:4200/api"
    assert os.environ["AWS_SECRET_ACCESS_KEY"]
    assert Path(os.environ["INGOT_HOME"]) == tmp_path


def test_one_server_of_his_own_goes_beside_a_stack_that_runs(tmp_path):
    pretend_to_run(Settings(home=tmp_path))
    os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    addresses = connect(Settings(home=tmp_path))
    assert addresses.s3_endpoint_url == os.environ["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9"
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"


def test_a_stack_that_runs_on_other_ports_is_not_taken_for_the_one_that_was_asked_for(tmp_path):
    pretend_to_run(Settings(home=tmp_path))
    with pytest.raises(ConfigError) as caught:
        connect(Settings(home=tmp_path, prefect_port=4300))
    assert str(caught.value) == (
        "the stack runs with prefect_api_url http://127.0.0.1:4200/api, but the environment asks for "
        "http://127.0.0.1:4300/api: run `ingot down` first"
    )
