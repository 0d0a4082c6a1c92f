"""The survey: what it says of untrained copies holds for the trained networks too."""

import onnx
import pytest

from tasks.compressors import quantizer
from tasks.contracts.artifacts import Plan
from tasks.contracts.config import EvaluateConfig, PruneConfig
from tasks.exporters.onnx_graph import assemble, export_network
from tasks.prune import prune
from tasks.stores.datasets import opened
from tasks.survey import survey

SCHEMES = ("none", "dynamic", "static", "static-all", "int4", "qat")


def surveyed(bench, plan, schemes=("none",), round_to=1, **limits):
    knobs = {"dataset": bench.dataset, "schemes": schemes, "limits": EvaluateConfig(**limits), "run": bench.run}
    return survey.fn(bench.dense, plan=plan, round_to=round_to, **knobs)


def whole(bench, network, scheme):
    with opened(bench.store, bench.dataset) as data:
        rows = data.sample("train", 64, 1)
        graph = quantizer.quantize(export_network(bench.module(network), rows[:2], 20), scheme, rows)
        model = assemble(data.preprocessor, graph, data.manifest.schema_, data.manifest.encoding, network.loss)
    return model.SerializeToString(deterministic=True)


@pytest.mark.parametrize("plan", [Plan(ratio=0.5), Plan(hidden_sizes=(24,)), Plan(ratio=0.5, sparsity=0.5)])
def test_bytes_and_weights_are_those_of_the_trained_network(bench, plan):
    knobs = {"dataset": bench.dataset, "config": PruneConfig(round_to=4), "training": bench.training, "run": bench.run}
    network = prune.fn(bench.dense, plan=plan, epochs=1, **knobs)
    found = surveyed(bench, plan, round_to=4)
    assert found.size_bytes == len(whole(bench, network, "none"))
    assert found.parameters == network.parameters
    assert (found.plan, found.broken_limits) == (plan, ())
    assert found.p95_ms > 0 and found.speed_up > 0


def test_the_smallest_scheme_says_how_many_bytes_there_are(bench):
    plan = Plan(ratio=0.25)
    found, fp32 = surveyed(bench, plan, SCHEMES), surveyed(bench, plan)
    assert found.size_bytes < fp32.size_bytes
    assert surveyed(bench, plan, ("none", "qat")).size_bytes == surveyed(bench, plan, ("none", "static")).size_bytes


def test_a_limit_that_no_scheme_keeps_is_told_in_figures(bench):
    found = surveyed(bench, Plan(ratio=0.25), max_size_bytes=1000, max_p95_ms=1e-6)
    size, latency = found.broken_limits[:2]
    assert size == (
        f"max_size_bytes is 1000, but no scheme gives less than {found.size_bytes}: {found.size_bytes - 1000} too many"
    )
    assert latency.startswith("max_p95_ms is 1e-06, but every scheme has a median of 0.0")


def test_limits_that_are_kept_break_nothing(bench):
    found = surveyed(bench, Plan(ratio=0.75), batch_size=3, max_size_bytes=10**6, max_p95_ms=1000)
    assert found.broken_limits == ()


def test_the_dense_network_stays_as_it_is(bench):
    before = whole(bench, bench.dense, "none")
    surveyed(bench, Plan(ratio=0.5, sparsity=0.9))
    assert whole(bench, bench.dense, "none") == before
    assert onnx.load_from_string(before).graph.input
