"""Who becomes champion, without MLflow: the journal of a store in a folder."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.contracts.errors import ConflictError, InputError, IntegrityError
from tasks.contracts.manifest import JournalEntry
from tasks.contracts.verdict import Gate
from tasks.stores.history import champion_at, predecessor, publication_of
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store
from tasks.stores.succession import check_fit, commit
from tests.tasks.stores.shelf import publish


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    monkeypatch.delenv("INGOT_PREFIX", raising=False)
    return Journal(Store.from_environment((tmp_path / "store").as_uri()), "line")


@pytest.fixture
def three(journal: Journal) -> list[JournalEntry]:
    return [publish(journal, slope, mlflow=False) for slope in (1.0, 2.0, 3.0)]


def crown(journal: Journal, publication: JournalEntry, **how: object) -> JournalEntry:
    return commit(journal, "promote", publication, actor="ann", reason="better", **how)  # type: ignore[arg-type]


def test_a_version_is_found_by_its_number_and_an_unknown_one_named(journal: Journal, three: list[JournalEntry]) -> None:
    assert publication_of(journal, "2") == three[1]
    with pytest.raises(InputError, match="version of line '4' does not exist: known: 1, 2, 3"):
        publication_of(journal, "4")


def test_the_one_before_is_the_last_other_champion(journal: Journal, three: list[JournalEntry]) -> None:
    with pytest.raises(InputError, match="had no other champion before"):
        crown(journal, three[0])
        predecessor(journal)
    crown(journal, three[2])
    assert predecessor(journal) == three[0]


def test_rolling_back_again_goes_further_back_and_never_forth(journal: Journal, three: list[JournalEntry]) -> None:
    for publication in three:
        crown(journal, publication)
    commit(journal, "rollback", three[1], actor="ann", reason="worse")
    assert predecessor(journal) == three[0]
    crown(journal, three[2])
    assert predecessor(journal) == three[1]
    commit(journal, "rollback", three[0], actor="ann", reason="all of them are worse")
    with pytest.raises(InputError, match="had no other champion before"):
        predecessor(journal)


def test_a_rollback_that_was_cut_off_is_ended_by_the_next(journal: Journal, three: list[JournalEntry]) -> None:
    for publication in three:
        crown(journal, publication)
    entry = three[1]
    journal.append(
        action="rollback", version=entry.version, manifest=entry.manifest, run_key=entry.run_key, actor="a", reason="b"
    )
    assert predecessor(journal) == three[1]
    champion = journal.champion()
    assert champion is not None
    journal.move_pointer(champion)
    assert predecessor(journal) == three[0]


def test_who_was_champion_at_a_time(journal: Journal, three: list[JournalEntry]) -> None:
    first, second = crown(journal, three[0]), crown(journal, three[1])
    between = datetime.fromisoformat(second.time) - timedelta(microseconds=1)
    assert champion_at(journal, between) == three[0]
    assert champion_at(journal, datetime.now(UTC)) == three[1]
    with pytest.raises(InputError, match="had no champion at .* the first came at"):
        champion_at(journal, datetime.fromisoformat(first.time) - timedelta(seconds=1))


def test_a_decision_holds_only_against_the_champion_it_was_made_about(
    journal: Journal, three: list[JournalEntry]
) -> None:
    first = crown(journal, three[0], instead_of=None)
    with pytest.raises(ConflictError, match=r"champion is version 1 \(entry 4\) by now, so nothing was changed"):
        crown(journal, three[1], instead_of=None)
    second = crown(journal, three[1], instead_of=first)
    with pytest.raises(ConflictError, match="champion is version 2"):
        crown(journal, three[2], instead_of=first)
    assert journal.champion() == second
    assert crown(journal, three[1], instead_of=first) == second  # it holds already


def test_of_decisions_at_once_about_the_same_champion_one_is_committed(
    journal: Journal, three: list[JournalEntry]
) -> None:
    first = crown(journal, three[0])

    def decide(number: int) -> bool:
        try:
            crown(Journal(journal.store, "line"), three[1 + number % 2], instead_of=first)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(decide, range(8)))
    entries = journal.entries()
    assert [entry.action for entry in entries[4:]] == ["promote"]
    assert all(won[number] == (three[1 + number % 2].manifest == entries[-1].manifest) for number in range(8))


def test_a_number_is_published_once(journal: Journal, three: list[JournalEntry]) -> None:
    with pytest.raises(InputError, match="version 3 was published before, but a version must be one result"):
        journal.append(action="publish", version="3", manifest="f" * 64, run_key="other", actor="ann", reason="new")


def test_a_version_without_its_files_or_its_gate_is_not_fit(journal: Journal, three: list[JournalEntry]) -> None:
    assert check_fit(journal, three[0]).candidate == "dense/none"
    failed = publish(journal, 4.0, mlflow=False, gate=Gate(passed=False, reason="rmse is 4"))
    with pytest.raises(InputError, match=r"version 4 of 'line' failed its gate \(rmse is 4\)"):
        check_fit(journal, failed)
    graph = journal.get_manifest(three[1].manifest).graph
    journal.store.delete(f"blobs/sha256/{graph.chunks[0]}")
    with pytest.raises(IntegrityError, match="version 2 of 'line' has lost model.onnx, but must be whole: restore"):
        check_fit(journal, three[1])
    journal.store.delete(f"models/line/manifests/{three[2].manifest}.json")
    with pytest.raises(IntegrityError, match="is missing, but is named as a manifest"):
        check_fit(journal, three[2])
