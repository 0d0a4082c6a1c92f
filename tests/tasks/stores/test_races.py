"""Two publishers race for every place of one journal, and answers get lost."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tasks.contracts.manifest import JournalEntry
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store
from tests.tasks.stores.test_journal import unsteady

RACES = int(os.environ.get("INGOT_RACES", "50"))
PUBLISHERS = 2


@pytest.mark.timeout(3000)
def test_races_of_two_publishers_leave_no_fork_and_no_gap_and_each_result_once(store: Store) -> None:
    """In every second race both publish the same result, in the others each its own."""
    barrier = Barrier(PUBLISHERS, timeout=60)

    def race(publisher: int) -> list[JournalEntry]:
        journal = Journal(unsteady(store), "digits")
        got = []
        for number in range(RACES):
            name = f"{number}" if number % 2 else f"{number} of {publisher}"
            manifest = hashlib.sha256(f"{name} by {publisher}".encode()).hexdigest()
            barrier.wait()
            facts = {"version": name, "manifest": manifest, "run_key": name, "actor": f"{publisher}", "reason": "why"}
            got.append(journal.append(action="publish", **facts))
        return got

    with ThreadPoolExecutor(PUBLISHERS) as pool:
        answers = list(pool.map(race, range(PUBLISHERS)))
    entries = Journal(store, "digits").entries()
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert len({entry.run_key for entry in entries}) == len(entries) == RACES // 2 + PUBLISHERS * (RACES - RACES // 2)
    for answer in answers:
        assert all(entries[entry.seq - 1] == entry for entry in answer)
    keys = list(store.keys("models/digits/journal/"))
    assert len(keys) == len(entries)
