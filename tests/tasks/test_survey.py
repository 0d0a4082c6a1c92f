"""The survey: what it says of untrained copies holds for the trained networks too."""

import pytest

from tasks.compressors import quantizer
from tasks.contracts.artifacts import Candidate, Plan
from tasks.contracts.config import EvaluateConfig, PruneConfig
from tasks.exporters.onnx_graph import assemble, export_network
from tasks.prune import prune
from tasks.stores.datasets import opened
from tasks.stores.networks import get_network
from tasks.survey import survey

SCHEMES = ("none", "dynamic", "static", "static-all", "int4", "qat")


@pytest.fixture(scope="module")
def reference(trained_digits):
    store, _, dense = trained_digits
    return Candidate(name="dense/none", network=dense, file=store.put_bytes(whole(*trained_digits, "none")), metric=0.9)


@pytest.fixture
def surveyed(bench, reference):
    def call(plan, schemes=("none",), round_to=1, reference=reference, **limits):
        knobs = {"dataset": bench.dataset, "schemes": schemes, "limits": EvaluateConfig(**limits), "run": bench.run}
        return survey.fn(bench.dense, plan=plan, round_to=round_to, reference=reference, **knobs)

    return call


def whole(store, dataset, network, scheme):
    with opened(store, dataset) as data:
        rows = data.sample("train", 64, 1)
        graph = quantizer.quantize(export_network(get_network(store, network), rows[:2], 20), scheme, rows)
        model = assemble(data.preprocessor, graph, data.manifest.schema_, data.manifest.encoding, network.loss)
    return model.SerializeToString(deterministic=True)


@pytest.mark.parametrize("plan", [Plan(ratio=0.5), Plan(hidden_sizes=(24,)), Plan(ratio=0.5, sparsity=0.5)])
def test_bytes_and_weights_are_those_of_the_trained_network(bench, surveyed, plan):
    knobs = {"dataset": bench.dataset, "config": PruneConfig(round_to=4), "training": bench.training, "run": bench.run}
    network = prune.fn(bench.dense, plan=plan, epochs=1, **knobs)
    found = surveyed(plan, round_to=4)
    assert found.size_bytes == len(whole(bench.store, bench.dataset, network, "none"))
    assert found.parameters == network.parameters
    assert (found.plan, found.broken_limits) == (plan, ())
    assert found.p95_ms > 0 and found.speed_up > 0


def test_the_smallest_scheme_says_how_many_bytes_there_are(surveyed):
    plan = Plan(ratio=0.25)
    fp32, static, qat, every = (
        surveyed(plan, each) for each in (("none",), ("none", "static"), ("none", "qat"), SCHEMES)
    )
    assert every.size_bytes <= static.size_bytes == qat.size_bytes < fp32.size_bytes


def test_a_limit_that_no_scheme_keeps_is_told_in_figures(surveyed):
    found = surveyed(Plan(ratio=0.25), max_size_bytes=1000, max_p95_ms=1e-6)
    size, latency = found.broken_limits[:2]
    assert size == (
        f"max_size_bytes is 1000, but no scheme gives less than {found.size_bytes}: {found.size_bytes - 1000} too many"
    )
    assert latency.startswith("max_p95_ms is 1e-06, but every scheme has a median of 0.0")


def test_limits_that_are_kept_break_nothing(surveyed):
    found = surveyed(Plan(ratio=0.75), batch_size=3, max_size_bytes=10**6, max_p95_ms=1000)
    assert found.broken_limits == ()


def test_without_a_reference_dense_is_exported_here_and_stays_as_it_is(bench, surveyed, reference):
    found = surveyed(Plan(sparsity=0.9), reference=None)
    assert 0.5 < found.speed_up < 2, "zeros do not change the speed"
    again = whole(bench.store, bench.dataset, bench.dense, "none")
    assert bench.store.put_bytes(again) == reference.file
