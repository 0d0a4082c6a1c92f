"""MLflow made to agree with the journal, on a real MLflow and a real S3."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.agreement import Agreement
from tasks.contracts.errors import ConflictError, InputError, UnavailableError
from tasks.contracts.manifest import JournalEntry
from tasks.stores import rebuild, registry, tracking
from tasks.stores.journal import Journal
from tasks.stores.reconciliation import ACTOR, REASON, REFUSED, UNPUBLISHED, judge, models_of, reconcile
from tasks.stores.s3 import Store
from tasks.stores.succession import commit, crown, settle_alias
from tasks.stores.tracking.client import client
from tasks.stores.tracking.live import oldest_live_run
from tests.tasks.stores.shelf import publish


@pytest.fixture
def journal(store: Store, mlflow_address: str) -> Journal:
    return Journal(store, f"line-{secrets.token_hex(4)}")


@pytest.fixture
def two(journal: Journal) -> list[JournalEntry]:
    """Two versions, the first champion in all three places."""
    found = [publish(journal, slope) for slope in (1.0, 2.0)]
    crown(journal, "promote", found[0], actor="ann", reason="first")
    return found


def kinds(agreement: Agreement) -> list[str]:
    return [finding.kind for finding in agreement.findings]


def champion(journal: Journal) -> tuple[str, str, str]:
    """Who is champion, by the journal, the pointer and the alias."""
    entry, pointer = journal.champion(), journal.pointer()
    assert entry is not None and pointer is not None
    return entry.version, pointer.version, registry.alias_of(journal.model, "champion") or ""


def move(journal: Journal, version: str) -> None:
    """As somebody does in MLflow's UI."""
    client().set_registered_model_alias(journal.model, "champion", version)


def copy(journal: Journal, tags: dict[str, str]) -> None:
    """Another version of what version 1 is made of, by somebody else."""
    held = client().get_model_version(journal.model, "1")
    model_id = held.source.removeprefix("models:/")
    client().create_model_version(journal.model, held.source, held.run_id, tags=tags, model_id=model_id)


def tags(journal: Journal, version: str = "") -> dict[str, str]:
    if version:
        return dict(client().get_model_version(journal.model, version).tags)
    return dict(client().get_registered_model(journal.model).tags)


def test_where_all_agrees_nothing_is_found(journal: Journal, two: list[JournalEntry]) -> None:
    found = reconcile(journal)
    assert (found.model, found.champion, found.seq, found.findings) == (journal.model, "1", 3, ())
    assert found.whole
    assert models_of(journal.store) == [journal.model]
    assert not [name for name in tags(journal) if name.startswith(registry.MOVING)]


def test_pointer_and_alias_of_a_promotion_that_was_cut_off_follow(journal: Journal, two: list[JournalEntry]) -> None:
    second = two[1]
    journal.append(
        action="promote", version="2", manifest=second.manifest, run_key=second.run_key, actor="ann", reason="better"
    )
    assert champion(journal) == ("2", "1", "1")
    assert kinds(reconcile(journal)) == ["pointer", "alias"]
    assert champion(journal) == ("2", "2", "2")
    assert reconcile(journal).findings == ()


@pytest.mark.parametrize("how", ["alias alone", "mark left behind", "tag lost", "alias taken away"])
def test_a_move_of_ours_that_was_cut_off_is_no_request(journal: Journal, two: list[JournalEntry], how: str) -> None:
    length = len(journal.entries())
    if how == "alias alone":
        commit(journal, "promote", two[1], actor="ann", reason="better")
        move(journal, "2")
        length += 1
    elif how == "mark left behind":
        registry.tag_model(journal.model, {f"{registry.MOVING}dead": datetime.now(UTC).isoformat()})
        move(journal, "2")
    elif how == "tag lost":
        registry.untag_model(journal.model, registry.CHAMPION_SEQ)
        move(journal, "2")
    else:
        registry.drop_alias(journal.model, "champion")
    assert kinds(reconcile(journal)) == ["alias"]
    assert len(set(champion(journal))) == 1
    assert len(journal.entries()) == length


def test_a_mark_that_was_abandoned_is_taken_away(journal: Journal, two: list[JournalEntry]) -> None:
    long_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    registry.tag_model(journal.model, {f"{registry.MOVING}dead": long_ago})
    reconcile(journal)
    assert f"{registry.MOVING}dead" not in tags(journal)


def test_an_alias_moved_by_hand_is_committed(journal: Journal, two: list[JournalEntry]) -> None:
    move(journal, "2")
    assert kinds(reconcile(journal)) == ["request"]
    entry = journal.champion()
    assert entry is not None
    assert (entry.action, entry.version, entry.actor, entry.reason) == ("promote", "2", ACTOR, REASON)
    assert champion(journal) == ("2", "2", "2")
    assert tags(journal)[registry.CHAMPION_SEQ] == str(entry.seq)
    move(journal, "1")
    assert kinds(reconcile(journal)) == ["request"]
    assert journal.entries()[-1].action == "rollback"
    assert champion(journal) == ("1", "1", "1")
    assert reconcile(journal).findings == ()


def test_the_first_champion_may_be_asked_for_by_hand(journal: Journal) -> None:
    publish(journal, 1.0)
    move(journal, "1")
    assert kinds(reconcile(journal)) == ["request"]
    assert champion(journal) == ("1", "1", "1")


def test_an_alias_on_a_version_that_is_not_whole_is_put_back_with_the_reason(
    journal: Journal, two: list[JournalEntry]
) -> None:
    chunk = journal.get_manifest(two[1].manifest).graph.chunks[0]
    journal.store.delete(f"blobs/sha256/{chunk}")
    move(journal, "2")
    (finding,) = reconcile(journal).findings
    assert finding.kind == "request" and "refused and put back" in finding.done and finding.mended
    assert champion(journal) == ("1", "1", "1")
    assert "has lost model.onnx" in tags(journal)[REFUSED] and "has lost model.onnx" in tags(journal, "2")[REFUSED]
    assert len(journal.entries()) == 3


def test_a_version_that_nobody_published_is_named_but_never_deleted_nor_champion(
    journal: Journal, two: list[JournalEntry]
) -> None:
    copy(journal, {"mine": "yes"})
    move(journal, "3")
    assert kinds(reconcile(journal)) == ["stranger", "request"]
    assert champion(journal) == ("1", "1", "1")
    assert {UNPUBLISHED, REFUSED, "mine"} <= set(tags(journal, "3"))
    assert kinds(reconcile(journal)) == ["stranger"]
    assert client().get_model_version(journal.model, "3").tags["mine"] == "yes"


def test_a_second_version_of_the_same_result_is_deleted(journal: Journal, two: list[JournalEntry]) -> None:
    copy(journal, {"run_key": two[0].run_key})
    assert kinds(reconcile(journal)) == ["duplicate"]
    assert sorted(registry.look(journal.model).versions) == ["1", "2"]


def test_tags_and_card_that_differ_from_the_manifest_are_set_again(journal: Journal, two: list[JournalEntry]) -> None:
    registry.tag_version(journal.model, "1", {"manifest.sha256": "0" * 64, UNPUBLISHED: "once", "own": "note"})
    registry.describe_version(journal.model, "2", "somebody's words")
    assert sorted(kinds(reconcile(journal))) == ["description", "tags"]
    assert tags(journal, "1")["manifest.sha256"] == two[0].manifest
    assert UNPUBLISHED not in tags(journal, "1") and tags(journal, "1")["own"] == "note"
    assert client().get_model_version(journal.model, "2").description == "# slope 2.0"
    assert reconcile(journal).findings == ()


# made again


def test_a_registry_that_was_lost_comes_back_from_the_journal_alone(journal: Journal, two: list[JournalEntry]) -> None:
    import mlflow

    copy(journal, {})
    client().delete_model_version(journal.model, "3")
    publish(journal, 4.0)  # so that its number is 4
    before = registry.look(journal.model)
    client().delete_registered_model(journal.model)
    found = reconcile(journal)
    assert kinds(found) == ["version", "version", "version", "alias"] and found.whole
    after = registry.look(journal.model)
    assert sorted(after.versions) == sorted(before.versions) == ["1", "2", "4"]
    for number, version in after.versions.items():
        assert version.tags == before.versions[number].tags
        assert version.description == before.versions[number].description
        assert client().get_run(version.run_id).info.run_name == f"rebuilt version {number}"
        assert client().get_run(version.run_id).info.status == "FINISHED"
        assert client().get_run(version.run_id).data.metrics["p95_ms"] == 0.25
    assert after.aliases == {"champion": "1"}
    mlflow.set_tracking_uri(client().tracking_uri)
    loaded = mlflow.onnx.load_model(f"models:/{journal.model}@champion")
    session = onnxruntime.InferenceSession(loaded.SerializeToString())
    assert session.run(None, {"features": np.array([[3, 9]], "float32")})[0].tolist() == [3.0]
    runs = len(client().search_runs([client().get_experiment_by_name(journal.model).experiment_id]))
    assert reconcile(journal).findings == ()
    assert len(client().search_runs([client().get_experiment_by_name(journal.model).experiment_id])) == runs


def test_a_number_that_mlflow_does_not_give_again_is_reported_and_no_other_used_up(
    journal: Journal, two: list[JournalEntry]
) -> None:
    client().delete_model_version(journal.model, "1")
    for _ in range(2):
        found = reconcile(journal)
        assert kinds(found) == ["version", "alias"] and not found.whole
        assert f"run `ingot registry rebuild {journal.model}`" in found.findings[0].done
    assert champion(journal) == ("1", "1", "")
    assert not [name for name in tags(journal) if name.startswith(registry.MOVING)]
    assert publish(journal, 3.0).version == "3"
    client().delete_registered_model(journal.model)
    assert reconcile(journal).whole
    assert champion(journal) == ("1", "1", "1")


def test_a_new_version_takes_no_number_of_one_that_was_lost(journal: Journal, two: list[JournalEntry]) -> None:
    client().delete_registered_model(journal.model)
    rebuild.restore_lost(journal)
    assert publish(journal, 3.0).version == "3"
    assert reconcile(journal).whole


def test_a_broken_version_that_was_lost_keeps_no_new_one_from_being_made(
    journal: Journal, two: list[JournalEntry]
) -> None:
    chunk = journal.get_manifest(two[0].manifest).graph.chunks[0]
    journal.store.delete(f"blobs/sha256/{chunk}")
    client().delete_registered_model(journal.model)
    rebuild.restore_lost(journal)
    assert sorted(registry.look(journal.model).versions) == ["2"]
    assert publish(journal, 3.0).version == "3"


def test_one_process_at_a_time_makes_versions_again(journal: Journal, two: list[JournalEntry]) -> None:
    client().delete_registered_model(journal.model)

    def attempt(_: int) -> str:
        try:
            reconcile(Journal(journal.store, journal.model))
        except UnavailableError:
            return "busy"
        return "done"

    with ThreadPoolExecutor(3) as pool:
        assert "done" in set(pool.map(attempt, range(3)))
    assert reconcile(journal).whole
    assert sorted(registry.look(journal.model).versions) == ["1", "2"]
    assert champion(journal) == ("1", "1", "1")


def test_a_version_whose_graph_is_gone_keeps_no_other_from_coming_back(
    journal: Journal, two: list[JournalEntry]
) -> None:
    chunk = journal.get_manifest(two[1].manifest).graph.chunks[0]
    journal.store.delete(f"blobs/sha256/{chunk}")
    client().delete_registered_model(journal.model)
    found = reconcile(journal)
    assert kinds(found) == ["version", "broken", "alias"] and not found.whole
    assert champion(journal) == ("1", "1", "1")


# at once


def test_promotions_and_reconciliations_at_once_end_in_one_champion_and_no_false_request(
    journal: Journal, two: list[JournalEntry]
) -> None:
    versions = [*two, publish(journal, 3.0)]

    def work(number: int) -> None:
        mine = Journal(journal.store, journal.model)
        for step in range(4):
            if number < 2:
                reconcile(mine)
            else:
                crown(mine, "promote", versions[(number + step) % 3], actor="ann", reason="race")

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(work, range(5)))
    assert reconcile(journal).whole
    assert len(set(champion(journal))) == 1
    assert {entry.actor for entry in journal.entries()} == {"ann"}
    assert not [name for name in tags(journal) if name.startswith(registry.MOVING)]


def test_a_request_that_two_see_is_committed_once(journal: Journal, two: list[JournalEntry]) -> None:
    move(journal, "2")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: reconcile(Journal(journal.store, journal.model)), range(4)))
    assert [entry.actor for entry in journal.entries()].count(ACTOR) == 1
    assert champion(journal) == ("2", "2", "2")


def test_the_last_who_sets_the_alias_sets_the_newest_champion(journal: Journal, two: list[JournalEntry]) -> None:
    crowned = [two[1], two[0], two[1]]
    for publication in crowned:
        commit(journal, "promote", publication, actor="ann", reason="race")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: settle_alias(Journal(journal.store, journal.model)), range(4)))
    assert champion(journal) == ("2", "2", "2")


def test_a_promotion_against_another_champion_is_refused(journal: Journal, two: list[JournalEntry]) -> None:
    with pytest.raises(ConflictError, match="champion is version 1"):
        commit(journal, "promote", two[1], actor="ann", reason="better", instead_of=None)


def test_an_alias_for_a_model_that_mlflow_lost_is_refused(journal: Journal, two: list[JournalEntry]) -> None:
    client().delete_registered_model(journal.model)
    with pytest.raises(InputError, match="RESOURCE_DOES_NOT_EXIST"):
        settle_alias(journal)


def test_the_oldest_run_under_way_is_found(journal: Journal) -> None:
    mine = tracking.open_run(journal.model, "old", {}, {})
    tracking.open_run(journal.model, "young", {}, {})
    oldest = oldest_live_run()
    assert oldest is not None and abs(datetime.now(UTC) - oldest.start) < timedelta(hours=1)
    tracking.close_run(mine)
    assert oldest_live_run() not in {None, oldest} or oldest.run_id != mine


# judging


def entry_of(seq: int, version: str) -> JournalEntry:
    fields: dict[str, Any] = {"previous_sha256": "0" * 64, "manifest": "m", "run_key": "k", "actor": "a", "reason": "r"}
    return JournalEntry(seq=seq, version=version, action="promote", time="2026-11-21T00:00:00+00:00", **fields)


@given(
    seq=st.integers(0, 3),
    version=st.sampled_from("12"),
    tag=st.integers(0, 3),
    alias=st.sampled_from(["", "1", "2"]),
    moving=st.booleans(),
)
def test_only_a_settled_alias_that_differs_is_a_request(
    seq: int, version: str, tag: int, alias: str, moving: bool
) -> None:
    entry = entry_of(seq, version) if seq else None
    held = {registry.CHAMPION_SEQ: str(tag)} if tag else {}
    held |= {f"{registry.MOVING}x": "2026-11-21T00:00:00+00:00"} if moving else {}
    state = judge(entry, registry.Index(held, {"champion": alias} if alias else {}, {}))
    wanted = version if seq else ""
    assert (state == "agrees") == (alias == wanted and tag == seq)
    assert (state == "asked") == (tag == seq and alias not in ("", wanted) and not moving)
