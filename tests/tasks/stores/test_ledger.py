import pytest

from tasks.contracts.errors import IntegrityError
from tasks.contracts.result import Cost, LedgerRow
from tasks.stores.ledger import keep_ledger, read_ledger, total
from tasks.stores.s3 import Store


def row(name, seconds, peak):
    cost = Cost(seconds=seconds, cpu_seconds=2 * seconds, peak_bytes=peak, sent_bytes=10, received_bytes=1)
    return LedgerRow(step=name, name=name, cost=cost, time="2026-11-24T00:00:00+00:00")


@pytest.fixture
def store(tmp_path):
    return Store.from_environment(f"file://{tmp_path}")


def test_a_total_adds_all_but_the_peak():
    rows = (row("train", 1.5, 7), row("export", 0.5, 9))
    assert total(rows) == Cost(seconds=2, cpu_seconds=4, peak_bytes=9, sent_bytes=20, received_bytes=2)
    assert total(()).seconds == 0


def test_what_an_earlier_try_wrote_stays(store):
    rows = (row("train", 1.5, 7),)
    keep_ledger(store, "line", "key", rows)
    keep_ledger(store, "line", "key", (row("train", 9.0, 9),))
    assert read_ledger(store, "line", "key") == rows
    assert read_ledger(store, "line", "another") == ()


def test_a_damaged_ledger_is_named(store):
    store.create("models/line/ledger/key.json", b"{")
    with pytest.raises(IntegrityError, match="holds no ledger, but must"):
        read_ledger(store, "line", "key")
