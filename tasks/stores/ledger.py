"""What every published version took to make, step by step: `models/<name>/ledger/<run_key>.json`.

A step that was known is entered with what it took when it was done.
"""

from pydantic import TypeAdapter, ValidationError

from tasks.contracts.errors import IntegrityError
from tasks.contracts.result import Cost, LedgerRow
from tasks.contracts.verdict import Verdict
from tasks.stores.results import about, latest_names, latest_result
from tasks.stores.s3 import Store

ROWS = TypeAdapter(tuple[LedgerRow, ...])


def rows_of(store: Store, model: str, verdict: Verdict) -> tuple[LedgerRow, ...]:
    """What the steps behind a verdict took, in the order in which they were done."""
    tried = [each.name for each in verdict.measurements] + [each.name for each in verdict.dropped]
    networks = {"", "dense", *(name.partition("/")[0] for name in tried)}

    def belongs(name: str) -> bool:
        network, scheme = about(name)
        return network in networks and (not scheme or f"{network}/{scheme}" in tried)

    results = [latest_result(store, model, name) for name in latest_names(store, model) if belongs(name)]
    rows = [LedgerRow(step=each.step, name=each.name, cost=each.cost, time=each.time) for each in results if each]
    return tuple(sorted(rows, key=lambda row: row.time))


def total(rows: tuple[LedgerRow, ...]) -> Cost:
    """All steps together; the peak is the largest of them."""
    costs = [row.cost for row in rows]
    return Cost(
        seconds=round(sum(cost.seconds for cost in costs), 3),
        cpu_seconds=round(sum(cost.cpu_seconds for cost in costs), 3),
        peak_bytes=max((cost.peak_bytes for cost in costs), default=0),
        sent_bytes=sum(cost.sent_bytes for cost in costs),
        received_bytes=sum(cost.received_bytes for cost in costs),
    )


def enter(store: Store, model: str, run_key: str, verdict: Verdict) -> Cost:
    """Writes what the version of a verdict took; all steps together."""
    rows = rows_of(store, model, verdict)
    keep_ledger(store, model, run_key, rows)
    return total(rows)


def keep_ledger(store: Store, model: str, run_key: str, rows: tuple[LedgerRow, ...]) -> None:
    """Writes what a version took; an earlier try's ledger stays."""
    store.create(_place(model, run_key), ROWS.dump_json(rows))


def read_ledger(store: Store, model: str, run_key: str) -> tuple[LedgerRow, ...]:
    """What a version took; nothing for one that is older than the ledger.

    Raises:
        IntegrityError: It cannot be read.
    """
    found = store.read(_place(model, run_key))
    if found is None:
        return ()
    try:
        return ROWS.validate_json(found.content)
    except ValidationError as error:
        raise IntegrityError(f"{store.uri(_place(model, run_key))} holds no ledger, but must: delete it") from error


def _place(model: str, run_key: str) -> str:
    return f"models/{model}/ledger/{run_key}.json"
