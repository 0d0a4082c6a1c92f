import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from deployments.serving import samples as module
from deployments.serving.app import App
from deployments.serving.figures import SAMPLES, Figures
from deployments.serving.samples import Samples
from tasks.contracts.schema import Feature, Schema
from tasks.datasets import json_lines
from tasks.datasets.drift.sampled import Sampled

ROWS = [{"age": 41, "city": "Oslo", "height": 1.5}, {"age": None, "city": "", "height": 1.75}]


class Kept:
    """An app that keeps a share, and what it wrote."""

    def __init__(self, tiny, library, store, share):
        self.tiny, self.store, self.figures = tiny, store, Figures()
        self.samples = Samples(store, share, self.figures)
        self.app = App(library, figures=self.figures, samples=self.samples)

    def ask(self, rows=ROWS, name="mixed"):
        return self.tiny.call(self.app, "POST", f"/predict/{name}", {"inputs": rows})

    def lines(self):
        found = [key for key in self.store.objects if key.startswith("samples/")]
        return [json.loads(line) for key in found for line in self.store.objects[key].splitlines()]

    def outcomes(self):
        return {labels[1]: value for labels, value in self.figures.snapshot()[SAMPLES.name]}


@pytest.fixture
def keep(tiny, library, store):
    return lambda share=1.0: Kept(tiny, library, store, share)


def test_rows_are_kept_under_their_names_with_answer_version_and_time(keep):
    kept = keep()
    answers = [each["label"] for each in kept.ask().body["outputs"]]
    kept.samples.flush()
    assert [{name: line[name] for name in ROWS[0]} for line in kept.lines()] == ROWS
    assert [line["ingot_answer"] for line in kept.lines()] == answers
    assert {line["ingot_version"] for line in kept.lines()} == {"1"}
    assert all(line["ingot_time"].endswith("+00:00") for line in kept.lines())
    assert kept.outcomes() == {"written": 1}


def test_a_matrix_of_numbers_is_kept_column_by_column(keep):
    kept = keep()
    kept.ask([{"a": 1, "b": None}], "numbers")
    kept.samples.flush()
    assert [(line["a"], line["b"]) for line in kept.lines()] == [(1.0, None)]


def test_what_was_kept_is_a_source_of_json_lines(keep, store, tmp_path):
    kept = keep()
    kept.ask()
    kept.samples.flush()
    (key,) = (key for key in store.objects if key.startswith("samples/mixed/"))
    path = tmp_path / "sample.jsonl"
    path.write_bytes(store.objects[key])
    (batch,) = json_lines.read(path, json_lines.infer(path), ["age", "city", "height"])
    assert batch.to_pylist() == ROWS


def test_nothing_is_kept_unless_asked_for(keep):
    kept = keep(share=0.0)
    kept.ask()
    kept.samples.flush()
    assert (kept.lines(), kept.outcomes()) == ([], {})


def test_about_the_share_is_kept(keep):
    kept = keep(share=0.5)
    for _ in range(200):
        kept.ask(ROWS[:1])
    kept.samples.flush()
    assert 60 < len(kept.lines()) < 140


def test_a_store_that_is_away_loses_samples_and_no_request(keep, store):
    kept = keep()
    store.down = True
    assert kept.ask().status == 200
    kept.samples.flush()
    assert kept.outcomes() == {"lost": 1}


def test_what_does_not_fit_is_dropped_and_counted(keep, monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    kept = keep()
    for _ in range(5):
        assert kept.ask(ROWS[:1]).status == 200
    assert kept.outcomes() == {"dropped": 3}


def test_images_are_bounded_in_bytes_and_written_in_files_of_a_size(keep, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 400)
    monkeypatch.setattr(module, "FILE_BYTES", 100)
    kept = keep()
    for number in range(40):
        assert kept.ask([{"age": number, "city": "Oslo", "height": 1.5}]).status == 200
    kept.samples.flush()
    counted = kept.outcomes()
    assert counted["dropped"] and counted["written"] >= 10 and counted["dropped"] + counted["written"] == 40
    assert [line["age"] for line in kept.lines()] == list(range(int(counted["written"])))
    assert len([key for key in kept.store.objects if key.startswith("samples/")]) >= 3
    kept.ask()
    kept.samples.flush()
    assert kept.outcomes()["written"] == counted["written"] + 1


def test_an_end_writes_what_was_kept(keep):
    kept, stop = keep(), threading.Event()
    thread = threading.Thread(target=kept.samples.run, args=(stop,))
    thread.start()
    kept.ask()
    stop.set()
    thread.join(10)
    assert len(kept.lines()) == 2


def test_a_refused_request_is_not_kept(keep):
    kept = keep()
    assert kept.ask([{"age": "x"}]).status == 400
    kept.samples.flush()
    assert kept.lines() == []


def test_what_was_kept_is_read_by_whoever_looks_for_drift(keep, store):
    kept = keep()
    kept.ask()
    kept.samples.flush()
    features = (
        Feature(name="age", kind="number", nullable=True),
        Feature(name="city", kind="category", nullable=True),
        Feature(name="height", kind="number"),
    )
    now = datetime.now(UTC)
    sampled = Sampled("mixed", Schema(task="regression", features=features, target="y"), now - timedelta(hours=1), now)
    keys = sorted(key for key in store.objects if key.startswith("samples/"))
    (batch,) = sampled.batches(lambda prefix: [key for key in keys if key.startswith(prefix)], store.objects.get)
    assert batch.columns["city"].tolist() == ["Oslo", ""] and batch.columns["height"].tolist() == [1.5, 1.75]
    assert str(batch.columns["age"].tolist()) == "[41.0, nan]" and sampled.left_out == 0
