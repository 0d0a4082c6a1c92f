import os
import socket

from deployments.local.doctor import examine, unmet
from deployments.local.settings import Settings


def findings(settings: Settings):
    return {finding.what: finding for finding in examine(settings)}


def free_settings(tmp_path) -> Settings:
    """On ports that neither the kernel nor another test gives to anybody, these plus 10000 included."""
    return Settings(home=tmp_path / "home", prefect_port=11811, mlflow_port=11812, s3_port=11820, serving_port=11813)


def test_a_sound_machine_has_nothing_to_mend(tmp_path):
    found = findings(free_settings(tmp_path))
    assert {what: finding.found for what, finding in found.items() if not finding.well} == {}
    assert set(found) == {"Python", "packages", "programs", "home", "disk", "connection", "ports", "S3"}
    assert "prefect 3.8.8" in found["packages"].found


def test_a_taken_port_is_named_with_its_holder_and_the_variable_that_moves_it(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        settings = free_settings(tmp_path).model_copy(update={"mlflow_port": port})
        found = findings(settings)["ports"]
    assert not found.well
    assert f"INGOT_MLFLOW_PORT {port}: pid {os.getpid()}" in found.found
    assert found.mend == "stop the holder, or set INGOT_MLFLOW_PORT to another port"


def test_a_home_that_stands_open_is_found(tmp_path):
    (tmp_path / "home").mkdir(mode=0o755)
    found = findings(free_settings(tmp_path))["home"]
    assert not found.well
    assert found.mend.startswith(f"chmod 700 {tmp_path}/home")


def test_keys_without_an_address_are_found(tmp_path):
    os.environ["AWS_ACCESS_KEY_ID"] = "his"
    found = findings(free_settings(tmp_path))["connection"]
    assert not found.well
    assert "set AWS_ENDPOINT_URL as well" in found.mend


def test_an_s3_that_does_not_answer_is_found(tmp_path):
    os.environ |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    found = findings(free_settings(tmp_path))["S3"]
    assert not found.well
    assert "127.0.0.1:9" in found.found


def test_packages_that_are_not_as_pinned_are_named():
    wrong = unmet(["numpy<1", "no-such-package==3", "rich", 'pandas<0.1; extra == "never"'])
    assert len(wrong) == 2
    assert wrong[0].startswith("numpy ") and wrong[0].endswith("(must be <1)")
    assert wrong[1] == "no-such-package is missing"
