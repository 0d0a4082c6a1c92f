"""The retraining walked without doing it: each step is looked up, as far as what is there leads."""

from collections.abc import Mapping
from typing import Any, TypeVar

from prefect import Task
from prefect.artifacts import create_markdown_artifact

from flows.search import search
from flows.tracked_run import run_of
from flows.trial import Handle, Ready, name_of_run
from tasks.compressors.plans import plans_of
from tasks.compressors.schemes import FALLBACKS
from tasks.contracts.artifacts import Run
from tasks.contracts.config import RetrainConfig
from tasks.contracts.errors import UnavailableError
from tasks.contracts.outlook import Expectation, Outlook
from tasks.convert import convert
from tasks.evaluate import evaluate
from tasks.explain import explain
from tasks.exporters.ui_report import key_of as artifact_key
from tasks.exporters.ui_report import leave
from tasks.ingest import ingest
from tasks.recall import arguments_of, look_up, parts_for
from tasks.stores.contracts import contract_of
from tasks.stores.ingredients import key_of
from tasks.stores.journal import Journal
from tasks.stores.results import about, latest_names, latest_result
from tasks.stores.s3 import Store
from tasks.stores.versions import run_key
from tasks.train import train

Value = TypeVar("Value")
LONGEST = 40
"""Characters of a part that are shown; digests are cut further."""
DIGEST = 64


class Unknown(Exception):  # noqa: N818 - an end of the walk, no fault
    """A step would be done: what follows depends on what comes of it."""


def plan(config: RetrainConfig) -> Outlook:
    """What a retraining would do now: which steps are known, which would be done and why.

    Raises:
        DataError: The source is not there.
        UnavailableError: S3 does not answer.
    """
    store = Store.from_environment(config.publish.bucket, config.publish.prefix)
    run, version = run_of(config, store), ""
    looked = _Lookup(store, run)
    try:
        dataset = looked(ingest, config.ingest, run, contract_of(config.ingest, run)).result()
        entry = Journal(store, run.model_name).find("publish", run_key(run, dataset))
        if entry is not None:
            return Outlook(model=run.model_name, version=entry.version, steps=tuple(looked.steps))
        found = search(looked(train, dataset, config.train, run), dataset, config, run, looked)
        verdict = looked(evaluate, found.findings, dataset, config.evaluate, run).result()
        looked(explain, verdict, dataset, run)
        looked(convert, verdict, dataset, config.export, run)
    except Unknown:
        looked.follow(config)
    return Outlook(model=run.model_name, version=version, steps=tuple(looked.steps))


def announce(config: RetrainConfig) -> None:
    """Show the outlook among the artifacts of the flow run that is beginning; it waits for nobody who is away."""
    try:
        outlook = plan(config)
    except UnavailableError:
        return
    known = f"version {outlook.version} stands: nothing to do" if outlook.version else "what is to be done, and why"
    key = f"{artifact_key(config.model_name)}-plan"
    leave(create_markdown_artifact, key=key, markdown=outlook.to_markdown(), description=known)


class _Lookup:
    """Runs a step by looking up its result; ends the walk at the first that is not there."""

    def __init__(self, store: Store, run: Run) -> None:
        self.steps: list[Expectation] = []
        self._store, self._run = store, run

    def __call__(self, step: Task[..., Value], /, *arguments: Any, **named: Any) -> Handle[Value]:
        values = [each.value if isinstance(each, Ready) else each for each in arguments]
        options = {name: each.value if isinstance(each, Ready) else each for name, each in named.items()}
        name, given = name_of_run(step, values, options), arguments_of(step.fn, tuple(values), options)
        parts = parts_for(step.fn, step.fn.recall, given)  # type: ignore[attr-defined]
        known = look_up(self._store, key_of(step.name, parts), step.fn) if parts is not None else None
        if known is not None:
            result, value = known
            self.steps.append(Expectation(name=name, state="kept", cost=result.cost))
            return Ready(value)
        last = latest_result(self._store, self._run.model_name, name)
        why = (
            ("nobody can tell whether its source changed",)
            if parts is None
            else changes(parts, last.parts if last else None)
        )
        self.steps.append(Expectation(name=name, state="runs", changed=why, cost=last.cost if last else None))
        raise Unknown

    def follow(self, config: RetrainConfig) -> None:
        """Names the steps that the last run went through and this walk did not come to."""
        there = {step.name for step in self.steps}
        for name in latest_names(self._store, self._run.model_name):
            if name not in there and _is_asked_for(name, config):
                last = latest_result(self._store, self._run.model_name, name)
                self.steps.append(Expectation(name=name, state="follows", cost=last.cost if last else None))


def changes(new: Mapping[str, str], old: Mapping[str, str] | None) -> tuple[str, ...]:
    """Which parts of a key differ, in words.

    >>> changes({"config.epochs": "9", "code": "ab"}, {"config.epochs": "3", "code": "ab"})
    ('config.epochs: 3 -> 9',)
    >>> changes({"seed": "0"}, None), changes({"seed": "0"}, {"seed": "0"})
    (('it was never done',), ('its result is gone from the store',))
    """
    if old is None:
        return ("it was never done",)
    names = [name for name in sorted({*new, *old}) if new.get(name) != old.get(name)]
    told = tuple(f"{name}: {_short(old.get(name))} -> {_short(new.get(name))}" for name in names)
    return told or ("its result is gone from the store",)


def _short(part: str | None) -> str:
    if part is None:
        return "none"
    if len(part) == DIGEST:
        return part[:8]
    return part if len(part) <= LONGEST else f"{part[: LONGEST - 3]}..."


def _is_asked_for(name: str, config: RetrainConfig) -> bool:
    """Whether a step of an earlier run belongs to this recipe as well."""
    network, scheme = about(name)
    networks = {"", "dense", *(plan.name for plan in plans_of(config.prune))}
    return network in networks and scheme in {"", *config.quantize.schemes, *FALLBACKS}
