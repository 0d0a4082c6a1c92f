import secrets

import pytest

from tasks.stores import tracking
from tasks.stores.tracking.client import client
from tasks.stores.tracking.system_metrics import system_metrics


def test_a_training_leaves_what_it_cost_in_the_run(mlflow_address, tmp_path, monkeypatch):
    monkeypatch.setenv("INGOT_HOME", str(tmp_path))
    run_id = tracking.open_run(f"model-{secrets.token_hex(4)}", "nightly", {}, {})
    for _ in range(2):
        with system_metrics(run_id, every_seconds=0.05):
            sum(range(10**6))
    metrics = client().get_run(run_id).data.metrics
    names = {
        "system/cpu_utilization_percentage", "system/system_memory_usage_percentage",
        "system/process_cpu_percentage", "system/process_memory_megabytes",
    }  # fmt: skip
    assert names == set(metrics)
    assert metrics["system/process_memory_megabytes"] > 10 and 0 <= metrics["system/cpu_utilization_percentage"] <= 100
    assert all(each.step >= 0 for each in client().get_metric_history(run_id, "system/process_cpu_percentage"))


def test_a_training_ends_as_it_would_where_mlflow_is_away(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(ZeroDivisionError), system_metrics("r", every_seconds=0.01):
        raise ZeroDivisionError


def test_without_a_run_nothing_is_watched():
    with system_metrics(""):
        pass
