"""Deciding by hand, and keeping MLflow, journal and store in order, on the real stack."""

import json
import time
from typing import Any

import pytest

pytestmark = pytest.mark.end_to_end

NAME = "governed"
QUICK = ["--set", "train.epochs=3", "--set", "prune.ratios=[]", "--set", "prune.sparsities=[]"]
QUICK += ["--set", "quantize.schemes=[none,dynamic]", "--set", f"model_name={NAME}"]


@pytest.fixture(scope="module")
def two(stack) -> list[dict[str, Any]]:
    """Two versions: the first is champion, the second is not."""
    return [stack.run("digits", *QUICK, "--set", f"seed={seed}", "--set", "promote.margin=90") for seed in (0, 1)]


def shown(stack, *arguments: str, code: int = 0, **environment: str) -> dict[str, Any]:
    """What a command with --json says."""
    done = stack.ingot(*arguments, "--json", environment=environment)
    assert done.returncode == code, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | ({"stderr": done.stderr} if done.stderr else {})


def places(stack) -> tuple[str, str, str]:
    """Who is champion by the journal, the pointer and MLflow."""
    journal = stack.journal(NAME)
    aliases = stack.mlflow().get_registered_model(NAME).aliases
    return journal.champion().version, journal.pointer().version, aliases.get("champion", "")


def mine(agreements: dict[str, Any]) -> dict[str, Any]:
    """What was found of this model."""
    return next(agreement for agreement in agreements["models"] if agreement["model"] == NAME)


def until(what, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.2)
    assert what()


def test_models_and_journal_tell_what_is_there(stack, two):
    assert [run["champion"] for run in two] == [True, False]
    row = next(row for row in shown(stack, "models")["models"] if row["model"] == NAME)
    assert (row["champion"], row["versions"], row["last_entry"], row["problem"]) == ("1", 2, "publish 2", "")
    assert row["metric_name"] == "accuracy" and row["metric"] > 0.5 and row["size_bytes"] > 1000
    entries = shown(stack, "journal", NAME)["entries"]
    assert [(entry["action"], entry["version"]) for entry in entries] == [
        ("publish", "1"), ("promote", "1"), ("publish", "2")]  # fmt: skip


def test_promoting_and_rolling_back_by_hand(stack, two):
    import httpx

    refused = shown(stack, "promote", NAME, "2", "--if-better", "--margin", "90", code=1)
    assert refused["reason"].startswith("not surely better") and places(stack) == ("1", "1", "1")
    assert shown(stack, "promote", NAME, "2", "--reason", "a try")["changed"]
    assert places(stack) == ("2", "2", "2")
    url = f"{stack.addresses.serving_url}/v2/models/{NAME}/versions/2/ready"
    until(lambda: httpx.get(url).is_success)
    assert shown(stack, "rollback", NAME)["version"] == "1"
    assert places(stack) == ("1", "1", "1")
    then = stack.journal(NAME).entries()[3].time
    away = shown(stack, "rollback", NAME, "--to-time", then, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert away["version"] == "2" and "MLflow's alias follows at the next reconciliation" in away["stderr"]
    assert places(stack)[:2] == ("2", "2")
    shown(stack, "registry", "reconcile")
    assert places(stack) == ("2", "2", "2")


def test_an_alias_moved_in_mlflow_is_a_request_that_may_be_refused(stack, two):
    client = stack.mlflow()
    client.set_registered_model_alias(NAME, "champion", "1")
    found = mine(shown(stack, "registry", "reconcile", NAME))
    assert places(stack) == ("1", "1", "1")
    last = stack.journal(NAME).entries()[-1]
    assert (last.action, last.version, last.actor, last.reason) == (
        "rollback", "1", "mlflow", "alias champion moved in MLflow")  # fmt: skip
    assert found["champion"] == "1"
    held = client.get_model_version(NAME, "2")
    model_id = held.source.removeprefix("models:/")
    stranger = client.create_model_version(NAME, held.source, held.run_id, model_id=model_id).version
    client.set_registered_model_alias(NAME, "champion", stranger)
    shown(stack, "registry", "reconcile", NAME)
    assert places(stack) == ("1", "1", "1") and stack.journal(NAME).entries()[-1] == last
    tags = client.get_model_version(NAME, stranger).tags
    assert "does not exist" in tags["champion.refused"] and "ingot.unpublished" in tags


def test_a_registry_that_was_lost_is_made_again(stack, two):
    client = stack.mlflow()
    client.delete_registered_model(NAME)
    rebuilt = mine(shown(stack, "registry", "rebuild", NAME))
    assert places(stack) == ("1", "1", "1")
    assert [f["kind"] for f in rebuilt["findings"]] in (["version", "version", "alias"], [])
    for run in two:
        version = client.get_model_version(NAME, run["version"])
        assert version.tags["manifest.sha256"] == run["manifest_sha256"]
        assert version.description.startswith(f"# {NAME}: ")
    program = f"import mlflow; print(len(mlflow.onnx.load_model('models:/{NAME}@champion').graph.node))"
    assert int(stack.python("-c", program).stdout.splitlines()[-1]) > 0
    again = shown(stack, "registry", "rebuild", NAME)
    assert mine(again)["findings"] == [] and "all agree" in again["summary"]


def end_runs_that_were_killed(stack):
    """A live run keeps what is younger than itself, and one that was killed looks alive until somebody ends it."""
    mlflow = stack.mlflow()
    for experiment in mlflow.search_experiments():
        for run in mlflow.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'"):
            mlflow.set_terminated(run.info.run_id, "KILLED")


def test_garbage_is_collected_and_what_is_named_stays(stack, two):
    end_runs_that_were_killed(stack)
    journal = stack.journal(NAME)
    left = journal.store.put_bytes(b"a network that lost " * 100)
    dry = shown(stack, "gc", "--dry-run", "--older-than", "0h")
    assert dry["garbage"]["blobs"]["objects"] > 0 and journal.store.holds(left)
    done = shown(stack, "gc", "--older-than", "0h")
    assert done["garbage"]["blobs"]["objects"] >= dry["garbage"]["blobs"]["objects"] > 0
    assert done["garbage"]["blobs"]["size_bytes"] > 0 and not journal.store.holds(left)
    for run in two:
        manifest = journal.get_manifest(run["manifest_sha256"])
        assert all(journal.store.get_bytes(file.artifact) for file in manifest.files)
    assert shown(stack, "gc", "--older-than", "0h")["garbage"]["blobs"]["objects"] == 0
    assert shown(stack, "promote", NAME, "2", "--if-better", code=1)["reason"].startswith("not surely better")
    assert shown(stack, "models")["models"]
    third = stack.run("digits", *QUICK, "--set", "seed=2", "--set", "promote.policy=always")
    assert third["champion"] and third["version"] == "3"
    assert places(stack) == ("3", "3", "3")


def test_the_reconciler_and_promoting_by_hand_are_in_prefect(stack, two):
    program = """
import json
from prefect.deployments import run_deployment
for name, parameters in (("promote/promote", {"model_name": "governed", "version": "1", "only_if_better": False}),
                         ("reconcile/reconcile", {})):
    run = run_deployment(name, parameters=parameters, timeout=120, as_subflow=False)
    print(run.state.type.value)
"""
    assert stack.python("-c", program).stdout.split()[-2:] == ["COMPLETED", "COMPLETED"]
    assert places(stack) == ("1", "1", "1")


def test_a_run_of_a_deployment_that_retrains_nothing_is_refused(stack):
    done = stack.ingot("run", "reconcile")
    assert done.returncode == 2 and "retrains nothing" in done.stderr and len(done.stderr.splitlines()) == 1
