import pytest

from deployments.local.credentials import load_or_create
from deployments.local.parts import HELD_BY, START_ORDER, STOP_ORDER, embedded_parts, executable, external_parts
from deployments.local.settings import Settings
from tasks.contracts.errors import UnavailableError


@pytest.fixture
def settings(tmp_path) -> Settings:
    made = Settings(home=tmp_path / "home")
    made.place.prepare()
    return made


@pytest.fixture
def parts(settings, tmp_path):
    return {part.name: part for part in embedded_parts(settings, tmp_path)}


def test_all_five_are_started_in_order_and_each_is_stopped_once(parts):
    assert tuple(parts) == START_ORDER
    assert sorted(name for names in STOP_ORDER for name in names) == sorted(START_ORDER)


def test_s3_is_started_with_the_flags_that_make_it_safe(parts, settings):
    flags = parts["s3"].command
    for safe in (
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-disableHttp", "-master.telemetry=false", "-webdav=false",
        "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.allowDeleteBucketNotEmpty=false",
        "-s3.autoCreateBucket=false", "-s3.port=8333", "-master.port=8334", "-volume.port=8335", "-filer.port=8336",
        "-admin.port=8337", f"-dir={settings.place.root}/s3",
    ):  # fmt: skip
        assert safe in flags
    assert parts["s3"].environment["S3_BUCKET"] == "ingot"


def test_every_server_listens_on_this_machine_alone(parts):
    for name in ("prefect", "mlflow"):
        command = parts[name].command
        assert command[command.index("--host") + 1] == "127.0.0.1"
    assert parts["serving"].environment["INGOT_SERVING_HOST"] == "127.0.0.1"


def test_no_web_page_may_call_the_prefect_server(parts):
    origins = parts["prefect"].environment["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"]
    assert origins == "http://127.0.0.1:4200,http://localhost:4200"
    assert parts["prefect"].environment["PREFECT_SERVER_UI_API_URL"] == "/api"


def test_mlflow_keeps_artifacts_in_s3_and_refuses_pickles(parts):
    command, environment = parts["mlflow"].command, parts["mlflow"].environment
    assert command[command.index("--artifacts-destination") + 1] == "s3://ingot/mlflow"
    assert command[command.index("--workers") + 1] == "1"
    assert environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_S3_ENDPOINT_URL"] == "http://127.0.0.1:8333"
    assert "MLFLOW_TRACKING_URI" not in environment


def test_no_secret_stands_on_a_command_line_or_in_a_repr(parts, settings):
    keys = load_or_create(settings.place)
    for part in parts.values():
        assert keys.secret_access_key not in " ".join(part.command) + repr(part)


def test_every_process_can_be_told_by_its_environment(parts, settings):
    assert {part.environment[HELD_BY] for part in parts.values()} == {str(settings.place.root)}


def test_the_worker_waits_for_its_server_and_serving_for_s3(parts):
    assert parts["worker"].needs == "http://127.0.0.1:4200/api/health"
    assert parts["serving"].needs == "http://127.0.0.1:8333"


def test_parts_of_the_users_own_are_not_started_and_no_worker_of_ours_on_his_server(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "https://prefect.example.org/api")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.example.org")
    settings = Settings(home=tmp_path)
    assert [part.name for part in embedded_parts(settings, tmp_path)] == ["mlflow", "serving"]
    assert external_parts(settings) == {
        "prefect": "https://prefect.example.org/api",
        "s3": "https://s3.example.org",
    }


def test_a_program_that_is_not_installed_is_named():
    with pytest.raises(UnavailableError, match="program 'weeed' is missing, but must be installed: run `pip install"):
        executable("weeed")


def test_each_part_holds_the_secrets_it_needs_and_no_other(settings, tmp_path, monkeypatch):
    planted = {"INGOT_API_KEY", "INGOT_SOURCE_A", "INGOT_TLS_KEY", "PREFECT_API_AUTH_STRING", "INGOT_OPENSSF_KEY"}
    for name in planted | {"MLFLOW_TRACKING_PASSWORD", "PREFECT_API_KEY"}:
        monkeypatch.setenv(name, "planted")
    given = {part.name: {n for n in planted if n in part.environment} for part in embedded_parts(settings, tmp_path)}
    assert given == {
        "s3": set(),
        "prefect": {"PREFECT_API_AUTH_STRING"},
        "mlflow": set(),
        "worker": {"INGOT_SOURCE_A", "PREFECT_API_AUTH_STRING", "INGOT_OPENSSF_KEY"},
        "serving": {"INGOT_TLS_KEY"},
    }
    held = {part.name for part in embedded_parts(settings, tmp_path) if "AWS_SECRET_ACCESS_KEY" in part.environment}
    assert held == {"s3", "mlflow", "worker", "serving"}
