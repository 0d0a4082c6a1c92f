"""A step that was done before is not done again, and is done again for every reason there is."""

import pytest

from tasks import recall
from tasks.contracts.artifacts import Artifact, Network, Run
from tasks.contracts.config import TrainConfig
from tasks.contracts.record import Record
from tasks.recall import Recall, remembered
from tasks.stores.results import find_result, latest_result
from tasks.stores.s3 import Store

FIRST = {"model_name": "line", "seed": 0, "config_digest": "c", "code_digest": "d", "mlflow_run_id": ""}


class Made(Record):
    file: Artifact
    epochs: int


@pytest.fixture
def run(tmp_path):
    return Run(**FIRST, bucket=f"file://{tmp_path}/store")


class Counting:
    """A step that counts how often it is done."""

    def __init__(self, **how):
        self.done, self.told = 0, []

        def body(config: TrainConfig, run: Run, name: str = "one") -> Made:
            """A step."""
            self.done += 1
            self.key = run.step_key
            content = f"{config.epochs} {name}".encode()
            return Made(file=Store.from_environment(run.bucket).put_bytes(content), epochs=config.epochs)

        how = {"tell": lambda value, **_: self.told.append(value.epochs), **how}
        self.call = remembered(body, step="work", run_name="work {name}", recall=Recall(**how))


def test_the_same_work_is_done_once_and_told_each_time(run):
    step = Counting()
    first = step.call(TrainConfig(epochs=3), run)
    other_run = run.model_copy(update={"mlflow_run_id": "", "flow_run_id": "another", "config_digest": "x"})
    assert step.call(TrainConfig(epochs=3), run=other_run) == first
    assert step.done == 1 and step.told == [3, 3]


@pytest.mark.parametrize(
    "change",
    [
        {"config": TrainConfig(epochs=4)},
        {"name": "two"},
        {"run": {"seed": 1}},
        {"run": {"foreign_digest": "a custom model's module changed"}},
    ],
    ids=["form", "argument", "seed", "foreign code"],
)
def test_other_work_is_done(run, change):
    step = Counting()
    step.call(TrainConfig(epochs=3), run)
    arguments = {"config": TrainConfig(epochs=3), "run": run, **change}
    if isinstance(arguments["run"], dict):
        arguments["run"] = run.model_copy(update=arguments["run"])
    step.call(**arguments)
    assert step.done == 2


def test_another_content_of_the_source_is_other_work_and_an_untold_one_is_never_known(run):
    told = {"source": "1"}
    step = Counting(also=lambda **_: told)
    step.call(TrainConfig(), run)
    step.call(TrainConfig(), run)
    assert step.done == 1
    told["source"] = "2"
    step.call(TrainConfig(), run)
    assert step.done == 2
    step = Counting(also=lambda **_: None)
    step.call(TrainConfig(), run)
    step.call(TrainConfig(), run)
    assert step.done == 2


def test_a_result_whose_file_is_gone_does_not_count(run):
    step = Counting()
    made = step.call(TrainConfig(), run)
    Store.from_environment(run.bucket).delete(f"blobs/sha256/{made.file.sha256}")
    assert step.call(TrainConfig(), run) == made and step.done == 2
    assert step.call(TrainConfig(), run) == made and step.done == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"step": "work"}'], ids=["empty", "cut", "list", "half"])
def test_a_damaged_result_does_not_count_and_is_replaced(run, content):
    step, store = Counting(), Store.from_environment(run.bucket)
    step.call(TrainConfig(), run)
    place = f"results/{step.key}.json"
    store.replace(place, content, store.read(place).etag)
    step.call(TrainConfig(), run)
    assert step.done == 2 and find_result(store, step.key) is not None


def test_all_is_done_again_if_somebody_says_so_and_kept_over_what_was_there(run, monkeypatch):
    step, store = Counting(), Store.from_environment(run.bucket)
    step.call(TrainConfig(), run)
    first = find_result(store, step.key)
    monkeypatch.setenv("INGOT_RECALL", "0")
    step.call(TrainConfig(), run)
    assert step.done == 2 and find_result(store, step.key).time > first.time
    monkeypatch.delenv("INGOT_RECALL")
    step.call(TrainConfig(), run)
    assert step.done == 2


def test_a_step_that_fails_is_not_remembered(run):
    done = []

    def body(run: Run) -> int:
        done.append(1)
        if len(done) == 1:
            raise RuntimeError
        return 5

    call = remembered(body, step="fails", run_name=None, recall=Recall())
    with pytest.raises(RuntimeError):
        call(run)
    assert [call(run), call(run)] == [5, 5] and len(done) == 2


def test_the_latest_result_says_what_it_was_made_of_and_what_it_cost(run):
    step = Counting()
    step.call(TrainConfig(epochs=3), run, name="ä/ö")
    latest = latest_result(Store.from_environment(run.bucket), "line", "work ä/ö")
    assert latest.parts["config.epochs"] == "3" and latest.parts["seed"] == "0" and len(latest.parts["code"]) == 64
    assert latest.cost.seconds >= 0 and latest.cost.peak_bytes > 10**6 and latest.cost.sent_bytes > 0


def test_what_is_measured_holds_for_this_processor_alone(run, monkeypatch):
    step = Counting(measures=True)
    step.call(TrainConfig(), run)
    monkeypatch.setattr(recall, "_processor", lambda: {"cpu": "another"})
    step.call(TrainConfig(), run)
    assert step.done == 2


def test_networks_are_found_inside_records(run):
    found = recall.adapter(_network)
    assert found.core_schema


def _network() -> tuple[Network, ...]:
    raise NotImplementedError
