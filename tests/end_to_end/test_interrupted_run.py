"""The flow itself, killed between publishing and promoting, and run again."""

import pytest

pytestmark = pytest.mark.end_to_end


def test_a_whole_run_that_was_killed_right_after_its_commit_is_promoted_by_the_next(stack, tmp_path):
    """The flow itself; a twin that nobody disturbs has the same graph."""
    quick = ["--set", "train.epochs=3", "--set", "prune.ratios=[]", "--set", "quantize.schemes=[none]"]
    command = ["run", "digits", *quick, "--set", "model_name=killed"]
    assert stack.ingot(*command, environment={"INGOT_FAILPOINT": "publish.after_commit:kill"}).returncode == -9
    assert [entry.action for entry in stack.journal("killed").entries()] == ["publish"]
    again = stack.run(*command[1:])
    assert again["status"] in {"unchanged", "published"} and again["champion"]
    assert [entry.action for entry in stack.journal("killed").entries()] == ["publish", "promote"]
    (version,) = stack.mlflow().search_model_versions("name = 'killed'")
    assert stack.mlflow().get_registered_model("killed").aliases == {"champion": version.version}
    twin = stack.run("digits", *quick, "--set", "model_name=never-killed", environment={"INGOT_RECALL": "0"})
    graphs = {}
    for run in (again, twin):
        (tmp_path / run["model"]).mkdir()
        graphs[run["model"]] = stack.graph(run, tmp_path / run["model"]).read_bytes()
    assert graphs["killed"] == graphs["never-killed"]
