import json
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deployments.serving.app import App
from deployments.serving.figures import BATCH, CHAMPION, REFUSED, REQUESTS, Figures, merged
from deployments.serving.library import Library
from deployments.serving.metrics import Metrics
from deployments.serving.watcher import Watcher

TENSOR = {"name": "features", "shape": [2, 2], "datatype": "FP32", "data": [1, 0, 2, 0]}


def scraped(text):
    """Sample name to labels to value."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


@pytest.fixture
def numbers(tiny, store):
    library = Library()
    tiny.publish(store, "numbers", "1", tiny.numbers())
    figures = Figures()
    Watcher(store, library, figures=figures).look()
    return App(library, figures=figures)


def test_requests_are_counted_by_model_version_endpoint_and_status(tiny, numbers):
    for body, path in [({"inputs": [TENSOR]}, "infer"), ({"inputs": [TENSOR]}, "infer"), ({}, "infer")]:
        tiny.call(numbers, "POST", f"/v2/models/numbers/{path}", body)
    tiny.call(numbers, "GET", "/nowhere")
    tiny.call(numbers, "POST", "/predict/stranger", {})
    found = scraped(tiny.call(numbers, "GET", "/metrics").body)
    counted = {
        tuple(dict(labels)[name] for name in ("model", "version", "endpoint", "status")): value
        for labels, value in found["ingot_requests_total"].items()
    }
    assert counted == {
        ("numbers", "1", "infer", "200"): 2,
        ("numbers", "1", "infer", "400"): 1,
        ("", "", "", "404"): 1,
        ("", "", "predict", "404"): 1,
    }
    assert found["ingot_request_seconds_count"][("endpoint", "infer"), ("model", "numbers")] == 3
    assert found["ingot_rows_total"][("model", "numbers"), ("version", "1")] == 4
    assert found["ingot_batch_requests_sum"][(("model", "numbers"),)] == 2
    assert found["ingot_champion_seq"][(("model", "numbers"),)] == 2
    assert found["ingot_loads_total"][(("model", "numbers"),)] == 1
    assert found["ingot_requests_in_flight"][()] == 1
    assert found["process_resident_memory_bytes"][()] > 1e6


def test_a_refused_version_is_counted(tiny, store, numbers):
    library, figures = Library(), Figures()
    watcher = Watcher(store, library, figures=figures)
    watcher.look()
    tiny.publish(store, "numbers", "2", tiny.numbers(3.0), tamper=b"broken")
    watcher.look()
    assert dict(figures.snapshot()[REFUSED.name]) == {("numbers",): 1}


def test_an_answer_names_its_version_and_says_where_the_time_went(tiny, numbers):
    reply = tiny.call(numbers, "POST", "/v2/models/numbers/infer", {"inputs": [TENSOR]})
    assert reply.headers["x-model-version"] == "1"
    parts = [part.split(";dur=") for part in reply.headers["server-timing"].split(", ")]
    assert [name for name, _ in parts] == ["parse", "queue", "run", "write"]
    assert all(float(value) >= 0 for _, value in parts)
    assert "server-timing" not in tiny.call(numbers, "GET", "/v2").headers


def test_the_figures_of_several_workers_are_added_up(tmp_path):
    stop = threading.Event()
    stop.set()
    pages = []
    for slot in ("0", "1"):
        figures = Figures()
        figures.add(REQUESTS, ("m", "1", "infer", "200"), by=3)
        figures.observe(BATCH, ("m",), 2)
        figures.set(CHAMPION, ("m",), 7 + int(slot))
        metrics = Metrics(figures, lambda: None, tmp_path, slot)
        metrics.run(stop)
        pages.append(metrics)
    found = scraped(pages[0].reply().body.decode())
    assert list(found["ingot_requests_total"].values()) == [6]
    assert found["ingot_batch_requests_count"][(("model", "m"),)] == 2
    assert found["ingot_champion_seq"][(("model", "m"),)] == 8


def test_a_worker_goes_on_where_the_one_before_it_stood(tmp_path):
    stop = threading.Event()
    stop.set()
    for _ in range(2):
        figures = Figures()
        metrics = Metrics(figures, lambda: None, tmp_path, "0")
        figures.add(REQUESTS, ("m", "1", "infer", "200"))
        metrics.run(stop)
    assert list(scraped(metrics.reply().body.decode())["ingot_requests_total"].values()) == [2]


def test_a_torn_file_of_another_worker_is_as_none(tmp_path):
    (tmp_path / "metrics-1.json").write_text('{"ingot_req')
    assert b"ingot_requests" in Metrics(Figures(), lambda: None, tmp_path, "0").reply().body


def test_a_snapshot_survives_json():
    figures = Figures()
    figures.observe(BATCH, ("m",), 3)
    figures.add(REQUESTS, ("m", "1", "infer", "200"))
    whole = figures.snapshot()
    assert merged([json.loads(json.dumps(whole))]) == whole
