import json
from uuid import uuid4

import pytest
import yaml

from deployments.local.home import Home
from deployments.local.registration import (
    deployment_names,
    fingerprint,
    read_deployments,
    reason_in,
    register,
    register_if_changed,
)
from deployments.local.root import PREFECT_FILE
from tasks.contracts.config import RetrainConfig
from tasks.contracts.errors import ConfigError, UnavailableError
from tests.deployments.local.servers import answering

CONTENT = yaml.safe_load(PREFECT_FILE.read_text())


RETRAINING = [entry for entry in CONTENT["deployments"] if "parameters" in entry]


@pytest.mark.parametrize("entry", RETRAINING, ids=lambda entry: entry["name"])
def test_each_deployment_is_complete(entry):
    config = RetrainConfig.model_validate(entry["parameters"]["config"])
    assert config.model_name == entry["name"]
    assert entry["entrypoint"] == "flows.retrain.retrain"
    assert entry["work_pool"]["name"] == "ingot"
    assert entry["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
    assert entry["schedules"][0]["cron"].split()[2:] == ["*", "*", "*"]


def test_the_three_models_are_there_and_no_two_start_at_once():
    assert list(read_deployments()) == ["digits", "diabetes", "messages"]
    assert len({entry["schedules"][0]["cron"] for entry in RETRAINING}) == 3


def test_promoting_and_the_reconciler_are_registered_but_retrain_nothing():
    assert deployment_names() == ("digits", "diabetes", "messages", "promote", "reconcile", "drift", "watch")
    others = {entry["name"]: entry for entry in CONTENT["deployments"] if entry not in RETRAINING}
    assert all(entry["work_pool"]["name"] == "ingot" for entry in others.values())
    assert others["reconcile"]["schedules"] == [{"cron": "5-59/15 * * * *", "timezone": "UTC"}]
    assert others["watch"]["schedules"] == [{"cron": "*/5 * * * *", "timezone": "UTC"}]
    assert "schedules" not in others["promote"] and "schedules" not in others["drift"]


def test_a_deployment_of_another_flow_is_told_from_one_that_retrains(tmp_path):
    file = tmp_path / "prefect.yaml"
    entries = ["{name: a, entrypoint: flows/retrain.py:retrain}", "{name: b}", "{name: c, entrypoint: own.flow}"]
    file.write_text(f"deployments: [{', '.join(entries)}]")
    assert list(read_deployments(file)) == ["a", "b"]
    assert deployment_names(file) == ("a", "b", "c")


def test_no_directory_of_a_machine_is_stored():
    assert CONTENT["pull"] == [{"deployments.local.root.enter_root": {}}]


@pytest.mark.parametrize("content", ["", "deployments: 3", "deployments: [{parameters: {}}]", "a: [", "- 1"])
def test_a_file_that_is_no_list_of_deployments_is_refused(tmp_path, content):
    (tmp_path / "prefect.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"prefect.yaml is not a list of deployments, but must be: "):
        read_deployments(tmp_path / "prefect.yaml")
    with pytest.raises(ConfigError, match="No such file"):
        read_deployments(tmp_path / "absent.yaml")


def test_the_fingerprint_follows_the_file(tmp_path):
    copy = tmp_path / "prefect.yaml"
    copy.write_bytes(PREFECT_FILE.read_bytes())
    assert fingerprint(copy) == fingerprint()
    copy.write_text(copy.read_text().replace("10 2 * * *", "11 2 * * *"))
    assert fingerprint(copy) != fingerprint()


def test_what_the_server_has_as_it_is_is_not_registered_again(tmp_path):
    home = Home(tmp_path)
    names = (*deployment_names(), "another")
    known = [{"name": name, "entrypoint": None, "parameters": {}, "id": str(uuid4())} for name in names]
    standing = [{"name": "ingot-zombies", "tags": ["ingot"]}, {"name": "of the user", "tags": []}]
    answers = {"POST /api/deployments/filter": (200, known), "POST /api/automations/filter": (200, standing)}
    with answering(answers) as (url, got):
        home.registered.write_text(json.dumps({"api_url": f"{url}/api", "fingerprint": fingerprint()}))
        assert register_if_changed(home, f"{url}/api") is False
    assert all(request.endswith("/filter") for request in got)


def test_an_unknown_block_to_notify_is_refused_before_anything_is_registered(tmp_path, monkeypatch):
    monkeypatch.setenv("INGOT_NOTIFY", "slack-webhook/team, custom-webhook/ops")
    blocks = [{"name": "team", "block_type": {"slug": "slack-webhook"}, "id": str(uuid4())}]
    with answering({"POST /api/block_documents/filter": (200, blocks)}) as (url, got):
        refused = (
            "INGOT_NOTIFY has 'custom-webhook/ops', but must name notification blocks: known are slack-webhook/team"
        )
        with pytest.raises(ConfigError, match=f"^{refused}$"):
            register(Home(tmp_path), f"{url}/api")
    assert set(got) == {"POST /api/block_documents/filter"}


def test_a_server_that_is_away_is_named(tmp_path):
    with pytest.raises(UnavailableError, match=r"the Prefect server at http://127.0.0.1:9/api does not answer"):
        register_if_changed(Home(tmp_path), "http://127.0.0.1:9/api")


def test_the_reason_is_the_last_line_that_says_something():
    assert reason_in("a\nValueError: no\nAn exception occurred.\n\n") == "ValueError: no"
    assert reason_in("\n .\n") == "it said nothing"


@pytest.mark.parametrize("form", ["ingest", "train"])
def test_a_deployment_with_a_password_is_refused_before_the_server_hears_of_it(tmp_path, form):
    file = tmp_path / "prefect.yaml"
    config = {form: {"source": "https://ann:hidden@host/rows.csv"}}
    file.write_text(yaml.safe_dump({"deployments": [{"name": "a", "parameters": {"config": config}}]}))
    words = f"prefect.yaml, deployment 'a': {form}.source holds a password or a token"
    with pytest.raises(ConfigError, match=words) as caught:
        register(Home(tmp_path), "http://127.0.0.1:1/api", file)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("entry", ["parameters: {config: }", "parameters: ", "parameters: {}", "schedules: []"])
def test_a_deployment_without_parameters_holds_no_password(tmp_path, entry):
    file = tmp_path / "prefect.yaml"
    file.write_text(f"deployments: [{{name: a, {entry}}}]")
    with pytest.raises(UnavailableError, match="does not answer"):
        register(Home(tmp_path), "http://127.0.0.1:1/api", file)
