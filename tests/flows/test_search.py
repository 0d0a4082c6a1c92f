"""The search with steps that only keep books: what is tried, in which order, and why something is given up."""

from collections.abc import Callable
from typing import Any

import pytest

from flows.search import search
from flows.trial import Ready
from tasks.contracts.artifacts import Architecture, Artifact, Candidate, Graph, Network, Prospect, Run
from tasks.contracts.config import RetrainConfig
from tasks.contracts.dataset import Dataset
from tasks.contracts.errors import GraphError, ModelError, UnavailableError

RUN = Run(model_name="m", seed=0, config_digest="c", code_digest="k", mlflow_run_id="")
DATA = Dataset(uri="s3://b/d", sha256="d", task="classification", kind="tabular", rows={"train": 9})
SHAPE = Architecture(family="mlp", input_shape=(4,), output_size=2, hidden_sizes=(8,))


def artifact(name: str, size_bytes: int = 100) -> Artifact:
    return Artifact(uri=f"s3://b/{name}", sha256=name, size_bytes=size_bytes, chunks=(name,))


def network(name: str, *, metric: float = 0.9, parameters: int = 1000) -> Network:
    return Network(
        name=name, file=artifact(name, parameters), architecture=SHAPE, loss="cross_entropy",
        parameters=parameters, metric=metric,
    )  # fmt: skip


class Bench:
    """Answers as the steps would; what happens to a name stands in tables."""

    def __init__(self, *, metrics=None, fails=None, twins=None, hopeless=(), trained=None) -> None:
        self.metrics: dict[str, float] = metrics or {}
        self.fails: dict[str, Exception] = fails or {}
        self.twins: dict[str, str] = twins or {}
        self.hopeless: tuple[str, ...] = hopeless
        self.trained: dict[str, Network] = trained or {}
        self.seen: list[tuple[str, str]] = []

    def __call__(self, step: Any, /, *arguments: Any, **named: Any) -> Ready:
        values = [each.result() if isinstance(each, Ready) else each for each in arguments]
        answer: Callable[..., Any] = getattr(self, step.name)
        return Ready(answer(*values, **named))

    def _note(self, step: str, name: str) -> None:
        self.seen.append((step, name))
        if name in self.fails:
            raise self.fails[name]

    def export(self, trained, *knobs) -> Graph:
        self._note("export", trained.name)
        return Graph(name=trained.name, network=trained, file=artifact(f"graph {trained.name}"))

    def quantize(self, graph, scheme, **knobs) -> Candidate:
        name = f"{graph.name}/{scheme}"
        self._note("quantize", name)
        metric = self.metrics.get(name, graph.network.metric)
        return Candidate(name=name, network=graph.network, file=artifact(self.twins.get(name, name)), metric=metric)

    def survey(self, dense, *, plan, **knobs) -> Prospect:
        self._note("survey", plan.name)
        broken = ("max_p95_ms is 1, but it takes 2: 1 too long",) if plan.name in self.hopeless else ()
        return Prospect(plan=plan, parameters=10, size_bytes=10, p95_ms=1, speed_up=1, broken_limits=broken)

    def prune(self, dense, *, plan, epochs, **knobs) -> Network:
        self._note(f"prune {epochs}", plan.name)
        return self.trained.get(plan.name, network(plan.name, parameters=round(1000 * (1 - plan.ratio))))

    def finetune(self, trained, *, dense, epochs, **knobs) -> Network:
        self._note(f"finetune {epochs}", trained.name)
        return trained


def found_by(bench: Bench, **forms: Any):
    return search(Ready(network("dense")), DATA, RetrainConfig.model_validate(forms), RUN, call=bench)


def names(found) -> list[str]:
    return [candidate.name for candidate in found.findings.candidates]


def dropped(found) -> dict[str, str]:
    return {each.name: each.rung for each in found.findings.dropped}


def test_every_scheme_is_tried_on_dense_first_and_then_on_every_plan():
    bench = Bench()
    found = found_by(bench, prune={"ratios": [0.5]}, quantize={"schemes": ["none", "dynamic"]})
    assert names(found) == ["dense/none", "dense/dynamic", "channels-50/none", "channels-50/dynamic"]
    assert bench.seen[:3] == [("export", "dense"), ("quantize", "dense/none"), ("quantize", "dense/dynamic")]


def test_a_scheme_that_gives_the_same_file_on_dense_is_not_tried_again():
    bench = Bench(twins={"dense/static-all": "dense/static"})
    found = found_by(bench, prune={"ratios": [0.5]}, quantize={"schemes": ["none", "static", "static-all"]})
    assert names(found) == ["dense/none", "dense/static", "channels-50/none", "channels-50/static"]
    assert dropped(found) == {"dense/static-all": "quantize"}


def test_a_scheme_that_fails_on_dense_is_given_up_and_the_search_goes_on():
    bench = Bench(fails={"dense/static": GraphError("operator Foo is unknown to the quantizer")})
    found = found_by(bench, prune={"ratios": [0.5]}, quantize={"schemes": ["none", "static"]})
    assert names(found) == ["dense/none", "channels-50/none"]
    assert found.findings.dropped[0].reason == "operator Foo is unknown to the quantizer"


def test_a_dense_network_that_cannot_be_exported_ends_the_run():
    with pytest.raises(GraphError, match="batch axis"):
        found_by(Bench(fails={"dense": GraphError("the batch axis is pinned")}))


def test_a_server_that_is_away_ends_the_run_also_in_a_trial():
    with pytest.raises(UnavailableError):
        found_by(Bench(fails={"channels-50": UnavailableError("nobody answers")}))


def test_a_network_that_cannot_be_cut_is_given_up():
    found = found_by(Bench(fails={"channels-25": ModelError("it cannot be cut")}), quantize={"schemes": ["none"]})
    assert names(found) == ["dense/none", "channels-50/none"]
    assert dropped(found) == {"channels-25": "finetune"}


def test_no_plan_is_surveyed_while_no_limit_on_bytes_or_latency_could_drop_it():
    bench = Bench()
    found_by(bench, quantize={"schemes": ["none"]})
    assert not [name for step, name in bench.seen if step == "survey"]


def test_a_plan_without_a_chance_gets_no_epoch():
    bench = Bench(hopeless=("channels-25",))
    found = found_by(bench, evaluate={"max_p95_ms": 1}, quantize={"schemes": ["none"]})
    assert [name for step, name in bench.seen if step.startswith("prune")] == ["channels-50"]
    assert dropped(found) == {"channels-25": "survey"}
    assert "1 too long" in found.findings.dropped[0].reason


def test_only_the_better_half_of_many_networks_goes_on():
    metrics = {0.1: 0.9, 0.3: 0.9, 0.5: 0.895, 0.7: 0.7, 0.8: 0.5, 0.9: 0.2}
    trained = {
        f"channels-{100 * ratio:g}": network(
            f"channels-{100 * ratio:g}", metric=m, parameters=round(1000 * (1 - ratio))
        )
        for ratio, m in metrics.items()
    }
    bench = Bench(trained=trained)
    forms = {"prune": {"ratios": list(metrics), "finetune_epochs": 7}, "quantize": {"schemes": ["none"]}}
    found = found_by(bench, **forms)
    assert len([1 for step, _ in bench.seen if step.startswith("prune")]) == 6
    assert "channels-50" in {name for step, name in bench.seen if step.startswith("finetune")}
    assert "channels-50/none" in names(found) and "channels-10/none" not in names(found)
    assert dropped(found)["channels-10"] == "finetune"


def test_a_student_learns_in_one_go_and_is_not_halved():
    bench = Bench()
    found = found_by(bench, prune={"ratios": [], "students": [[4]]}, quantize={"schemes": ["none"]})
    assert names(found) == ["dense/none", "student-4/none"]


def test_static_int8_that_loses_too_much_is_saved_by_the_cheapest_that_can():
    bench = Bench(metrics={"dense/static": 0.8, "dense/static-percentile": 0.85, "dense/mixed": 0.9})
    found = found_by(bench, prune={"ratios": []}, quantize={"schemes": ["none", "static"]})
    assert names(found) == ["dense/none", "dense/static", "dense/static-percentile", "dense/mixed"]


def test_no_fallback_is_tried_where_it_is_off_or_not_needed():
    lossy = Bench(metrics={"dense/static": 0.8})
    off = found_by(lossy, prune={"ratios": []}, quantize={"schemes": ["none", "static"], "fallback": False})
    fine = found_by(Bench(), prune={"ratios": []}, quantize={"schemes": ["none", "static"]})
    dynamic = found_by(
        Bench(metrics={"dense/dynamic": 0.5}), prune={"ratios": []}, quantize={"schemes": ["none", "dynamic"]}
    )
    assert names(off) == names(fine) == ["dense/none", "dense/static"]
    assert names(dynamic) == ["dense/none", "dense/dynamic"]


def test_qat_is_trained_after_the_cheap_schemes_also_on_dense():
    bench = Bench()
    found = found_by(bench, prune={"ratios": [0.5]}, quantize={"schemes": ["none", "qat"]})
    assert names(found) == ["dense/none", "dense/qat", "channels-50/none", "channels-50/qat"]
