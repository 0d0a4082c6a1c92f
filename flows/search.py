"""The search for the smallest network inside the budget, in rungs as cheap as they can be.

| rung | what is tried | what it costs |
|---|---|---|
| a | every post-training scheme on the dense graph | seconds, no training |
| b | untrained copies of every plan, since bytes and latency do not depend on the weights | seconds, no training |
| c | fine-tuning of the plans that are left, by successive halving | most of the time |
| d | the schemes on what came through; where int8 loses too much: other ranges, touchy layers in float, QAT | seconds |

A scheme that fails on the dense graph, or gives the same file as another there, is not tried again. Whatever is given
up is told with its reason.
"""

from collections.abc import Sequence
from typing import Any

from flows.trial import Call, Handle, Trials, in_prefect
from tasks.compressors.halving import rounds, survivors
from tasks.compressors.plans import plans_of
from tasks.compressors.schemes import FALLBACKS, Scheme
from tasks.contracts.artifacts import Candidate, Findings, Graph, Network, Plan, Run
from tasks.contracts.config import RetrainConfig
from tasks.contracts.dataset import Dataset
from tasks.export import export
from tasks.finetune import finetune
from tasks.prune import prune
from tasks.quantize import quantize
from tasks.runtime.budget import drop, metric_of
from tasks.survey import survey

STATIC = ("static", "static-all", *FALLBACKS)


def search(
    dense: Handle[Network], dataset: Dataset, config: RetrainConfig, run: Run, call: Call = in_prefect
) -> "Search":
    """Try what the forms ask for.

    Args:
        dense: The network that all others are held against.
        dataset: What to train, calibrate and validate on.
        config: Every knob of the run.
        run: Which retraining this is.
        call: How a step is run.
    """
    found = Search(dense, dataset, config, run, call)
    graphs = [found.quantize_dense()]
    plans = found.survey(plans_of(config.prune))
    graphs += found.export(found.train(plans))
    for graph in graphs:
        found.quantize(graph)
    return found


class Search:
    """A search under way. Made by `search`."""

    def __init__(self, dense: Handle[Network], dataset: Dataset, config: RetrainConfig, run: Run, call: Call) -> None:
        self.dense, self.dataset, self.config, self.run = dense, dataset, config, run
        self.candidates: list[Handle[Candidate]] = []
        """What was found."""
        self.trials = Trials(call, config.evaluate.max_search_seconds)
        self._schemes: tuple[Scheme, ...] = config.quantize.schemes

    @property
    def findings(self) -> Findings:
        """What is handed to evaluation."""
        candidates = tuple(each.result() for each in self.candidates)
        return Findings(candidates=candidates, dropped=tuple(self.trials.dropped))

    def quantize_dense(self) -> Handle[Graph]:
        """Rung a; that the dense network can be exported and run in fp32 is a must."""
        graph = self.trials.call(export, self.dense, self.dataset, self.config.export, self.run)
        self.candidates.append(self.trials.call(quantize, graph, "none", **self._knobs))
        tried = [scheme for scheme in self._schemes if scheme not in ("none", "qat")]
        useless = {scheme for scheme in tried if not self._quantize(graph, scheme)}
        self._schemes = tuple(scheme for scheme in self._schemes if scheme not in useless)
        return graph

    def survey(self, plans: Sequence[Plan]) -> list[Plan]:
        """Rung b: the plans to which a limit on bytes or latency leaves a chance."""
        limits = self.config.evaluate
        if limits.max_size_bytes is None and limits.max_p95_ms is None:
            return list(plans)
        return [plan for plan in plans if self._has_a_chance(plan)]

    def train(self, plans: Sequence[Plan]) -> list[Handle[Network]]:
        """Rung c: cut, then fine-tuned, the better half of each round going on; students learn in one go."""
        cut = [plan for plan in plans if not plan.hidden_sizes]
        students = [plan for plan in plans if plan.hidden_sizes]
        epochs, *later = rounds(len(cut), self.config.prune.finetune_epochs)
        networks = [network for plan in cut if (network := self._prune(plan, epochs))]
        for epochs in later:
            networks = [network for each in self._better(networks) if (network := self._finetune(each, epochs))]
        return networks + [network for plan in students if (network := self._prune(plan, 0))]

    def export(self, networks: Sequence[Handle[Network]]) -> list[Handle[Graph]]:
        """The graphs of all networks that can be exported."""
        knobs = self.dataset, self.config.export, self.run
        return [
            graph
            for network in networks
            if (graph := self.trials.attempt(network.result().name, "quantize", export, network, *knobs))
        ]

    def quantize(self, graph: Handle[Graph]) -> None:
        """Rung d: every scheme that is left; while static int8 loses too much, what may save it, cheapest first."""
        there = {candidate.scheme for candidate in self._candidates_of(graph)}
        for scheme in self._schemes:
            if scheme not in there:
                self._quantize(graph, scheme)
        for scheme in FALLBACKS if self.config.quantize.fallback else ():
            if self._static_loses_too_much(graph):
                self._quantize(graph, scheme)

    @property
    def _knobs(self) -> dict[str, Any]:
        forms = {"training": self.config.train, "prune": self.config.prune, "config": self.config.quantize}
        return {"dataset": self.dataset, "run": self.run, **forms}

    @property
    def _cut(self) -> dict[str, Any]:
        forms = {"training": self.config.train, "config": self.config.prune}
        return {"dataset": self.dataset, "run": self.run, **forms}

    def _has_a_chance(self, plan: Plan) -> bool:
        forms = {"limits": self.config.evaluate, "round_to": self.config.prune.round_to, "schemes": self._schemes}
        knobs = {"dataset": self.dataset, "run": self.run, "reference": self.candidates[0], **forms}
        prospect = self.trials.attempt(plan.name, "survey", survey, self.dense, plan=plan, **knobs)
        broken = prospect.result().broken_limits if prospect else ()
        if broken:
            self.trials.drop(plan.name, "survey", "; ".join(broken))
        return prospect is not None and not broken

    def _prune(self, plan: Plan, epochs: int) -> Handle[Network] | None:
        return self.trials.attempt(plan.name, "finetune", prune, self.dense, plan=plan, epochs=epochs, **self._cut)

    def _finetune(self, network: Handle[Network], epochs: int) -> Handle[Network] | None:
        name = network.result().name
        return self.trials.attempt(name, "finetune", finetune, network, dense=self.dense, epochs=epochs, **self._cut)

    def _better(self, networks: Sequence[Handle[Network]]) -> list[Handle[Network]]:
        """Those that go on to the next round."""
        kept, dropped = survivors(
            [each.result() for each in networks],
            self.dense.result(),
            task=self.dataset.task,
            max_drop=self.config.evaluate.max_drop,
        )
        self.trials.dropped += dropped
        return [each for each in networks if each.result() in kept]

    def _quantize(self, graph: Handle[Graph], scheme: Scheme) -> bool:
        """Whether the scheme gives this graph a candidate that is not there yet."""
        name = f"{graph.result().name}/{scheme}"
        found = self.trials.attempt(name, "quantize", quantize, graph, scheme, **self._knobs)
        if found is None:
            return False
        twins = [each.name for each in self._candidates_of(graph) if each.file == found.result().file]
        if twins:
            self.trials.drop(name, "quantize", f"it is the same file as {twins[0]}")
        else:
            self.candidates.append(found)
        return not twins

    def _candidates_of(self, graph: Handle[Graph]) -> list[Candidate]:
        found = [each.result() for each in self.candidates]
        return [candidate for candidate in found if candidate.network.name == graph.result().name]

    def _static_loses_too_much(self, graph: Handle[Graph]) -> bool:
        """Whether fp32 keeps the budget of accuracy, and static int8, where it was tried, does not."""
        reference = self.candidates[0].result().metric
        keeps = {
            candidate.scheme: drop(metric_of(self.dataset.task), candidate.metric, reference)
            <= self.config.evaluate.max_drop
            for candidate in self._candidates_of(graph)
        }
        static = [scheme for scheme in keeps if scheme in STATIC]
        return bool(static) and keeps.get("none", False) and not any(keeps[scheme] for scheme in static)
