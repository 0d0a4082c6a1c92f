"""Publishing and promoting end in one version, one entry and one alias, wherever they are cut off and whoever joins in.

Every attempt is a process of its own, against the real store and the real MLflow. One that was killed is made again,
and then everything must stand as if nobody had been killed, and nothing that stood before may be gone.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import count
from typing import Any

import pytest

from tasks.contracts.manifest import JournalEntry
from tasks.stores import history, registry, succession
from tasks.stores.failpoints import POINTS
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store
from tasks.stores.tracking.client import client
from tests.end_to_end.crashing import Attempt, Outcome, graph_of

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(3000)]

RANDOM_KILLS = int(os.environ.get("INGOT_RANDOM_KILLS", "10"))
AT_ONCE = 2
"""Models whose publishers are killed at random side by side."""

numbers = count()


@dataclass(frozen=True)
class Crashing:
    """The process whose children are killed."""

    process: "subprocess.Popen[str]"

    def __call__(self, *attempts: Attempt) -> list[Outcome]:
        """What came of attempts that began at once."""
        assert self.process.stdin and self.process.stdout
        print(json.dumps([asdict(attempt) for attempt in attempts]), file=self.process.stdin, flush=True)
        return [Outcome(**each) for each in json.loads(self.process.stdout.readline())]


@pytest.fixture(scope="module")
def environment(stack) -> Iterator[None]:
    """The stack's, in a part of the bucket that neither its server nor its schedules look at."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (stack.environment | {"INGOT_PREFIX": "crashes/", "OMP_NUM_THREADS": "1"}).items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def crashing(environment) -> Iterator[Crashing]:
    command = [sys.executable, "-m", "tests.end_to_end.crashing"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Crashing(process)
        assert process.stdin
        process.stdin.close()


@pytest.fixture(scope="module")
def dataset(crashing) -> dict[str, Any]:
    (outcome,) = crashing(Attempt("prepare"))
    return outcome.answer


@pytest.fixture
def better(dataset):
    """The next retraining of a model, which is a little better than any before it."""

    def attempt(model: str = "matrix", **more: Any) -> Attempt:
        number = next(numbers)
        return Attempt("retrain", model, seed=number, error=0.95**number, dataset=dataset, **more)

    return attempt


def journal_of(model: str) -> Journal:
    return Journal(Store.from_environment(), model)


def assert_whole(model: str, before: list[JournalEntry]) -> None:
    """Journal, store, pointer and MLflow agree, and what stood before stands."""
    journal = journal_of(model)
    entries = journal.entries()
    assert entries[: len(before)] == before
    published = {entry.run_key: entry for entry in entries if entry.action == "publish"}
    for action in ("publish", "promote"):
        keys = [entry.run_key for entry in entries if entry.action == action]
        assert len(keys) == len(set(keys))
    assert_registered(model, published)
    for entry in published.values():
        if entry not in before:
            assert_stands(journal, entry)
    assert_followed(journal)


def assert_registered(model: str, published: dict[str, JournalEntry]) -> None:
    """MLflow has the versions of the journal, each once, and their tags."""
    found = client().search_model_versions(f"name = '{model}'")
    assert sorted(version.tags["run_key"] for version in found) == sorted(published)
    for version in found:
        entry = published[version.tags["run_key"]]
        assert (version.version, version.tags["manifest.sha256"]) == (entry.version, entry.manifest)
        assert version.tags["manifest.uri"] == journal_of(model).manifest_uri(entry.manifest)


def assert_stands(journal: Journal, entry: JournalEntry) -> None:
    """Manifest and files of a version are there and sound, and its graph is that of an undisturbed run."""
    manifest = journal.get_manifest(entry.manifest)
    assert manifest.run_key == entry.run_key
    content = {file.path: journal.store.get_bytes(file.artifact) for file in manifest.files}
    assert set(content) == {"model.onnx", "README.md"}
    right = graph_of(manifest.lineage.seed, error=0.95**manifest.lineage.seed)
    assert hashlib.sha256(content["model.onnx"]).hexdigest() == hashlib.sha256(right).hexdigest()


def assert_followed(journal: Journal) -> None:
    """Pointer and alias say what the journal says."""
    champion, pointer = journal.champion(), journal.pointer()
    assert champion and pointer
    assert (pointer.seq, pointer.version, pointer.manifest) == (champion.seq, champion.version, champion.manifest)
    model = client().get_registered_model(journal.model)
    assert model.aliases["champion"] == champion.version
    assert model.tags[registry.CHAMPION_SEQ] == str(champion.seq)


def assert_champion(outcome: Outcome, model: str, before: JournalEntry | None) -> None:
    """An attempt ended well: its version is champion, the one before it is challenger."""
    assert (outcome.killed, outcome.error) == (False, "")
    champion = journal_of(model).champion()
    assert champion and outcome.answer["champion"]
    assert outcome.answer["version"] == champion.version
    if champion.action == "promote":
        challenger = registry.alias_of(model, "challenger")
        assert challenger == (before.version if before else None)


def undisturbed(attempt: Attempt) -> Attempt:
    return replace(attempt, failpoint="", kill_after_seconds=0)


@pytest.fixture(scope="module")
def matrix(crashing, dataset) -> None:
    """The model `matrix`, with two champions, one after the other."""
    for number in (next(numbers), next(numbers)):
        crashing(Attempt("retrain", "matrix", seed=number, error=0.95**number, dataset=dataset))


@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith(("publish", "promote"))])
def test_killed_at_a_point_and_run_again_it_ends_in_one_version(crashing, matrix, better, point):
    champion = journal_of("matrix").champion()
    attempt = better(failpoint=f"{point}:kill")
    assert crashing(attempt)[0].killed
    acknowledged = journal_of("matrix").entries()
    (outcome,) = crashing(undisturbed(attempt))
    assert_champion(outcome, "matrix", champion)
    assert_whole("matrix", acknowledged)


@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith("rollback")])
def test_a_rollback_that_was_killed_and_is_run_again_is_made_once(crashing, matrix, point):
    journal = journal_of("matrix")
    before = journal.entries()
    attempt = Attempt("rollback", "matrix", to=history.predecessor(journal).version, failpoint=f"{point}:kill")
    assert crashing(attempt)[0].killed
    acknowledged = journal.entries()
    (outcome,) = crashing(undisturbed(attempt))
    assert_champion(outcome, "matrix", None)
    assert_whole("matrix", acknowledged)
    assert [entry.action for entry in journal.entries()[len(before) :]] == ["rollback"]


@pytest.mark.parametrize("second", ["publish.after_commit", "promote.after_commit"])
@pytest.mark.parametrize("first", ["publish.after_created_version", "publish.after_version"])
def test_killed_twice_it_still_ends_in_one_version_with_the_tags_of_its_manifest(
    crashing, matrix, better, first, second
):
    """The second attempt commits another manifest than the first one told MLflow of."""
    champion = journal_of("matrix").champion()
    attempt = better()
    for point in (first, second):
        assert crashing(replace(attempt, failpoint=f"{point}:kill"))[0].killed
    acknowledged = journal_of("matrix").entries()
    assert_champion(crashing(attempt)[0], "matrix", champion)
    assert_whole("matrix", acknowledged)


def test_answers_lost_at_every_point_are_asked_for_again(crashing, matrix, better):
    champion = journal_of("matrix").champion()
    wish = ",".join(f"{point}:fail" for point in POINTS)
    before = journal_of("matrix").entries()
    (outcome,) = crashing(better(failpoint=wish, tries=len(POINTS)))
    assert_champion(outcome, "matrix", champion)
    assert_whole("matrix", before)
    assert [entry.action for entry in journal_of("matrix").entries()[len(before) :]] == ["publish", "promote"]
    assert outcome.answer["reason"] == journal_of("matrix").champion().reason
    back = Attempt("rollback", "matrix", to=champion.version, failpoint=wish, tries=len(POINTS))
    assert_champion(crashing(back)[0], "matrix", None)
    assert_whole("matrix", before)


@pytest.mark.parametrize("point", ["promote.after_contest", "promote.after_challenger"])
def test_a_challenger_that_loses_is_declined_once_wherever_it_was_cut_off(crashing, matrix, better, point):
    champion = journal_of("matrix").champion()
    attempt = better(failpoint=f"{point}:kill", policy="never")
    assert crashing(attempt)[0].killed
    acknowledged = journal_of("matrix").entries()
    outcomes = [crashing(undisturbed(attempt))[0] for _ in range(2)]
    assert [(outcome.error, outcome.answer["champion"]) for outcome in outcomes] == [("", False)] * 2
    assert outcomes[0].answer["reason"] == "promote.policy is never"
    assert registry.alias_of("matrix", "challenger") == outcomes[0].answer["version"]
    assert journal_of("matrix").champion() == champion
    assert_whole("matrix", acknowledged)
    declined = list(journal_of("matrix").store.keys("models/matrix/declined/"))
    assert sum(outcomes[0].answer["manifest_sha256"] in key for key in declined) == 1


def test_killed_at_random_times_nothing_is_lost_and_nothing_is_made_twice(crashing, better):
    """One in three is killed once more when it is run again."""
    models = [f"random-{lane}" for lane in range(AT_ONCE)]
    quiet = crashing(*(better(model) for model in models)) + crashing(*(better(model) for model in models))
    longest = max(outcome.seconds for outcome in quiet)
    chance, killed = random.Random(0), 0
    while killed < RANDOM_KILLS:
        champions = [journal_of(model).champion() for model in models]
        attempts = [better(model) for model in models]
        for _ in range(1 + (chance.random() < 1 / 3)):
            cut = [replace(attempt, kill_after_seconds=chance.uniform(0.001, longest)) for attempt in attempts]
            killed += sum(outcome.killed for outcome in crashing(*cut))
        acknowledged = [journal_of(model).entries() for model in models]
        outcomes = crashing(*attempts)
        for model, outcome, champion, before in zip(models, outcomes, champions, acknowledged, strict=True):
            assert_champion(outcome, model, champion)
            assert_whole(model, before)


@pytest.mark.parametrize("killed", [0, 3])
def test_any_number_of_publishers_of_one_result_make_one_version(crashing, matrix, better, killed):
    champion = journal_of("matrix").champion()
    attempt, chance = better(), random.Random(killed)
    before = journal_of("matrix").entries()
    cut = [replace(attempt, kill_after_seconds=chance.uniform(0.3, 2)) for _ in range(killed)]
    outcomes = crashing(*[attempt] * (6 - killed), *cut)[: 6 - killed]
    assert {outcome.error for outcome in outcomes} == {""}
    assert len({outcome.answer["version"] for outcome in outcomes}) == 1
    assert_champion(crashing(attempt)[0], "matrix", champion)
    assert_whole("matrix", before)
    assert [entry.action for entry in journal_of("matrix").entries()[len(before) :]] == ["publish", "promote"]


def test_promotions_of_different_versions_at_once_end_at_the_journals_champion(crashing, matrix, better):
    attempts = [better(policy="never") for _ in range(4)]
    for attempt in attempts:
        assert crashing(attempt)[0].error == ""
    before = journal_of("matrix").entries()
    outcomes = crashing(*(replace(attempt, policy="always") for attempt in attempts))
    assert {outcome.error for outcome in outcomes} == {""}
    assert [entry.action for entry in journal_of("matrix").entries()[len(before) :]] == ["promote"] * 4
    assert_whole("matrix", before)


def test_every_older_pointer_that_is_put_back_is_corrected_by_the_next_who_settles(crashing, matrix, monkeypatch):
    journal = journal_of("matrix")
    key = "models/matrix/aliases/champion.json"
    older = []
    for days in range(30, 35):
        monkeypatch.setenv("INGOT_POINTER_DAYS", str(days))
        if days % 2 == 0:
            succession.crown(journal, "rollback", history.predecessor(journal), actor="ann", reason="worse")
        succession.settle(journal)
        older.append(journal.store.read(key).content)
    newest = journal.pointer()
    for envelope in older[:-1]:
        assert journal.store.replace(key, envelope, journal.store.read(key).etag)
        succession.settle(journal)
        corrected = journal.pointer()
        assert (corrected.seq, corrected.manifest) == (newest.seq, newest.manifest)
        assert corrected.expires >= newest.expires
    assert_whole("matrix", [])
