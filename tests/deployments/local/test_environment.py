import stat
from pathlib import Path

import pytest

from deployments.local.credentials import load_or_create
from deployments.local.environment import addresses_of, apply, client_environment
from deployments.local.parts import embedded_parts
from deployments.local.settings import Settings
from tasks.stores.signing import Keyring


@pytest.fixture
def settings(tmp_path) -> Settings:
    made = Settings(home=tmp_path)
    made.place.prepare()
    return made


def test_everything_of_an_embedded_stack_is_found_by_the_libraries_own_variables(settings):
    found = client_environment(settings, addresses_of(settings))
    keys = load_or_create(settings.place)
    assert found["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    assert found["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"
    assert found["AWS_ENDPOINT_URL"] == "http://127.0.0.1:8333"
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]) == (keys.access_key_id, keys.secret_access_key)
    assert Path(found["PREFECT_HOME"]).is_relative_to(settings.place.root)
    assert found["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert found["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


def test_an_embedded_stack_signs_with_a_key_of_its_own(settings):
    found = client_environment(settings, addresses_of(settings))
    key, trusted = Path(found["INGOT_SIGNING_KEY"]), Path(found["INGOT_TRUSTED_KEYS"])
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.is_relative_to(settings.place.root)
    Keyring.from_environment(found).unseal(Keyring.from_environment(found).seal(b"", "t"), "t")
    before = key.read_bytes(), trusted.read_bytes()
    client_environment(settings, addresses_of(settings))
    assert (key.read_bytes(), trusted.read_bytes()) == before


def test_only_who_publishes_holds_the_signing_key(settings, tmp_path):
    parts = embedded_parts(settings, tmp_path)
    assert [part.name for part in parts if "INGOT_SIGNING_KEY" in part.environment] == ["worker"]
    assert all("BEGIN PUBLIC KEY" in part.environment["INGOT_TRUSTED_KEYS"] for part in parts if part.name != "worker")


def test_a_key_of_the_users_own_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("INGOT_SIGNING_KEY", "/his/key.pem")
    found = client_environment(Settings(home=tmp_path), addresses_of(Settings(home=tmp_path)))
    assert "INGOT_SIGNING_KEY" not in found
    assert not (tmp_path / "keys").exists()


def test_what_the_user_has_set_is_left_alone(tmp_path, monkeypatch):
    own = {
        "PREFECT_API_URL": "https://prefect.example.org/api",
        "MLFLOW_TRACKING_URI": "https://mlflow.example.org",
        "AWS_ENDPOINT_URL": "https://s3.example.org",
        "AWS_ACCESS_KEY_ID": "his",
        "PREFECT_API_KEY": "his",
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    settings, environment = Settings(home=tmp_path), dict(own)
    apply(settings, addresses_of(settings), environment)
    assert {name: environment[name] for name in own} == own
    assert not {"PREFECT_HOME", "AWS_SECRET_ACCESS_KEY"} & set(environment)
    assert not settings.place.credentials.exists()


def test_keys_and_profiles_for_other_servers_are_not_sent_to_ours(settings):
    names = ("PREFECT_API_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "MLFLOW_TRACKING_PASSWORD")
    environment = dict.fromkeys(names, "his")
    apply(settings, addresses_of(settings), environment)
    assert "his" not in environment.values()


def test_a_proxy_is_not_asked_for_what_is_on_this_machine(settings, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "intranet,localhost")
    monkeypatch.delenv("no_proxy", raising=False)
    found = client_environment(settings, addresses_of(settings))
    assert found["NO_PROXY"] == "intranet,localhost,127.0.0.1"
    assert found["no_proxy"] == "127.0.0.1,localhost"
