from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.local.settings import Settings, read_settings
from tasks.contracts.errors import ConfigError

OURS = ("INGOT_HOME", "INGOT_BUCKET")
PORTS = ("INGOT_PREFECT_PORT", "INGOT_MLFLOW_PORT", "INGOT_S3_PORT", "INGOT_SERVING_PORT")


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch):
    for name in (*OURS, *PORTS):
        monkeypatch.delenv(name, raising=False)


def test_embeds_everything_by_default():
    settings = read_settings()
    assert (settings.prefect_port, settings.mlflow_port, settings.s3_port, settings.serving_port) == (
        4200,
        5000,
        8333,
        8080,
    )
    assert settings.place.root == Path.cwd() / ".ingot"
    assert len(settings.ports) == 3 + 2 * 5


def test_needs_no_port_for_a_part_that_the_user_runs_himself(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.example.org")
    monkeypatch.setenv("PREFECT_API_URL", "https://prefect.example.org/api")
    assert set(read_settings().ports) == {"INGOT_MLFLOW_PORT", "INGOT_SERVING_PORT"}


def test_an_empty_variable_is_as_good_as_none(monkeypatch):
    monkeypatch.setenv("INGOT_S3_PORT", "")
    monkeypatch.setenv("PREFECT_API_URL", "")
    assert read_settings().s3_port == 8333
    assert not read_settings().prefect_api_url


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        (
            "INGOT_PREFECT_PORT",
            "http",
            "INGOT_PREFECT_PORT is 'http', but must be a valid integer: port of the embedded",
        ),
        ("INGOT_MLFLOW_PORT", "80", "INGOT_MLFLOW_PORT is '80', but must be greater than or equal to 1024"),
        ("INGOT_S3_PORT", "60000", "INGOT_S3_PORT is '60000', but must be less than or equal to 55531"),
        ("INGOT_BUCKET", "My Bucket", "INGOT_BUCKET is 'My Bucket', but must match pattern"),
        ("INGOT_MLFLOW_PORT", "4200", "INGOT_MLFLOW_PORT is 4200, but must differ from INGOT_PREFECT_PORT"),
        ("INGOT_SERVING_PORT", "8335", "is 8335, but must differ from INGOT_SERVING_PORT: choose another port"),
        ("INGOT_SERVING_PORT", "18333", "is 18333, but must differ from INGOT_SERVING_PORT: choose another port"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch, variable, value, words):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        read_settings()
    assert words in str(caught.value)


@given(st.integers(1024, 55531))
def test_no_two_ports_of_s3_collide(port):
    free = 1024 if port > 2000 else 60000
    settings = Settings(s3_port=port, prefect_port=free, mlflow_port=free + 1, serving_port=free + 2)
    ports = list(settings.ports.values())
    assert len(set(ports)) == len(ports)
    assert max(ports) <= 65535


@pytest.mark.parametrize(
    ("variable", "mend"),
    [
        ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"),
        ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_PASSWORD"),
        ("AWS_ENDPOINT_URL", "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_an_address_of_a_server_holds_no_password(monkeypatch, variable, mend):
    monkeypatch.setenv(variable, "https://ann:xk7Q-hidden@host/api")
    with pytest.raises(ConfigError, match=f"{variable} holds a password, but addresses are shown.*{mend}") as caught:
        read_settings()
    assert "hidden" not in str(caught.value)
