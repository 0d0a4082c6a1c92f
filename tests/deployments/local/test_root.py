from pathlib import Path

from deployments.local.root import enter_root


def test_a_flow_run_works_in_the_folder_that_the_worker_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    monkeypatch.setenv("INGOT_ROOT", str(tmp_path))
    assert enter_root() == {"directory": str(tmp_path)}
    assert Path.cwd() == tmp_path


def test_any_other_worker_falls_back_to_where_ingot_is_installed_from(monkeypatch):
    monkeypatch.chdir("/")
    monkeypatch.delenv("INGOT_ROOT", raising=False)
    assert (Path(enter_root()["directory"]) / "deployments" / "prefect.yaml").exists()
