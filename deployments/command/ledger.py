"""What published versions took, in the terminal."""

import json

from rich import box
from rich.markup import escape
from rich.table import Table

from deployments.command.histories import known
from deployments.command.outcome import wide_console
from deployments.local.connection import connect
from tasks.contracts.result import Cost, LedgerRow
from tasks.stores.history import publication_of
from tasks.stores.journal import Journal
from tasks.stores.ledger import read_ledger, total
from tasks.stores.s3 import Store


def ledger_and_show(name: str, version: str, *, as_json: bool) -> None:
    """Print what each step of a version took; of every version its total, where none is named.

    Raises:
        InputError: There is no such model or version.
        UnavailableError: S3 does not answer.
    """
    connect()
    store = Store.from_environment()
    known(store, name)
    journal, console = Journal(store, name), wide_console()
    if version:
        rows = read_ledger(store, name, publication_of(journal, version).run_key)
    else:
        rows = tuple(
            LedgerRow(step="version", name=f"version {entry.version}", cost=total(made), time=entry.time)
            for entry in journal.entries()
            if entry.action == "publish" and (made := read_ledger(store, name, entry.run_key))
        )
    if as_json:
        content = {
            "model": name,
            "rows": [row.model_dump(mode="json") for row in rows],
            "total": total(rows).model_dump(mode="json"),
        }
        console.out(json.dumps(content), highlight=False)
        return
    table = Table(box=box.SIMPLE_HEAD, show_footer=True)
    for heading, sum_ in zip(("", "seconds", "CPU", "peak MiB", "sent", "received"), _cells(total(rows)), strict=True):
        table.add_column(heading, justify="right" if heading else "left", footer=sum_)
    for row in rows:
        table.add_row(escape(row.name), *_cells(row.cost)[1:])
    console.print(table)


def _cells(cost: Cost) -> tuple[str, ...]:
    figures = (f"{cost.seconds:,.1f}", f"{cost.cpu_seconds:,.1f}", f"{cost.peak_bytes / 2**20:,.0f}")
    return ("all", *figures, f"{cost.sent_bytes:,}", f"{cost.received_bytes:,}")
