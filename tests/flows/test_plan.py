"""What would be done, told from what was done; the steps are real, on a store in a folder."""

import pytest

from flows.plan import plan
from flows.search import search
from flows.tracked_run import run_of
from flows.trial import in_process
from tasks.contracts.config import RetrainConfig
from tasks.contracts.errors import DataError
from tasks.evaluate import evaluate
from tasks.ingest import ingest
from tasks.stores.s3 import Store
from tasks.train import train


def config_for(folder, source, **train_fields):
    return RetrainConfig.model_validate(
        {
            "model_name": "line",
            "ingest": {"source": str(source)},
            "train": {"hidden_sizes": [8], "epochs": 2, **train_fields},
            "prune": {"ratios": [0.5], "finetune_epochs": 1},
            "quantize": {"schemes": ["none", "dynamic"]},
            "evaluate": {"min_agreement": 0.0},
            "publish": {"bucket": f"file://{folder}/store"},
        }
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder with rows and a store in which a recipe was followed once, up to its verdict."""
    folder = tmp_path_factory.mktemp("plan")
    source = folder / "rows.csv"
    source.write_text("a,b,label\n" + "".join(f"{i},{i * 7 % 13},{i % 2}\n" for i in range(200)))
    config = config_for(folder, source)
    done = []
    call = in_process(done.append)
    run = run_of(config, Store.from_environment(config.publish.bucket))
    dataset = call(ingest, config.ingest, run)
    found = search(call(train, dataset, config.train, run), dataset.result(), config, run, call)
    call(evaluate, found.findings, dataset, config.evaluate, run)
    return folder, source, done


def test_what_was_done_is_known_and_what_follows_is_named(done):
    folder, source, steps = done
    outlook = plan(config_for(folder, source))
    assert [step.name for step in outlook.steps if step.state == "kept"] == steps
    assert [(step.name, step.changed) for step in outlook.steps if step.state == "runs"] == [
        ("explain", ("it was never done",))
    ]


def test_a_changed_field_is_told_with_both_values_and_what_comes_before_it_stays(done):
    folder, source, steps = done
    outlook = plan(config_for(folder, source, epochs=3))
    states = {step.name: step for step in outlook.steps}
    assert states["ingest"].state == "kept"
    assert states["train"].state == "runs" and states["train"].changed == ("config.epochs: 2 -> 3",)
    assert {name for name, step in states.items() if step.state == "follows"} == set(steps) - {"ingest", "train"}
    spent = sum(step.cost.seconds for step in outlook.steps if step.state != "kept")
    assert outlook.seconds == spent > 0
    assert "| train | runs |" in outlook.to_markdown()


def test_changed_data_are_told_and_missing_ones_refused(done, tmp_path):
    folder, source, _ = done
    other = tmp_path / "rows.csv"
    other.write_text(source.read_text() + "1,2,1\n")
    outlook = plan(config_for(folder, other))
    (first, *_) = outlook.steps
    assert first.name == "ingest" and first.state == "runs"
    assert [each.partition(":")[0] for each in first.changed] == ["config.source", "source"]
    with pytest.raises(DataError, match="there is nothing there"):
        plan(config_for(folder, tmp_path / "none.csv"))
