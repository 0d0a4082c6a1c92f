"""What the store tells of its models: a row each, and the whole history of one. Asks neither MLflow nor Prefect."""

import json
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from deployments.command.outcome import wide_console
from deployments.local.connection import connect
from tasks.contracts.errors import InputError, IntegrityError, unknown_name
from tasks.contracts.manifest import JournalEntry
from tasks.stores.journal import Journal
from tasks.stores.reconciliation import models_of
from tasks.stores.s3 import Store

SHORT = 12


def models(*, as_json: bool) -> int:
    """Print a row for every model; 0 only if all are sound."""
    connect()
    store = Store.from_environment()
    rows = [row_of(store, model) for model in models_of(store)]
    if as_json:
        wide_console().out(json.dumps({"models": rows}), highlight=False)
    elif rows:
        headings = ("model", "champion", "seq", "since", "metric", "bytes", "versions", "last entry")
        _print(headings, [_cells(row) for row in rows])
    else:
        wide_console().print(f"no model is in {store.uri('models/')}: make one by `ingot run`", soft_wrap=True)
    return 1 if any(row["problem"] for row in rows) else 0


def row_of(store: Store, model: str) -> dict[str, Any]:
    """What is known of a model; `problem` says why nothing more is."""
    row: dict[str, Any] = {"model": model, "champion": "", "seq": 0, "since": "", "metric_name": "", "metric": None}
    row |= {"size_bytes": None, "versions": 0, "last_entry": "", "last_time": "", "problem": ""}
    try:
        history = Journal(store, model)
        entries = history.entries()
        row["versions"] = len({entry.version for entry in entries if entry.action == "publish"})
        if entries:
            row |= {"last_entry": f"{entries[-1].action} {entries[-1].version}", "last_time": entries[-1].time}
        champion = history.champion()
        if champion is not None:
            manifest = history.get_manifest(champion.manifest)
            name = manifest.metric_name
            row |= {"champion": champion.version, "seq": champion.seq, "since": champion.time, "metric_name": name}
            row |= {"metric": manifest.metrics.get(f"test_{name}"), "size_bytes": manifest.graph.size_bytes}
    except (IntegrityError, InputError) as error:
        row["problem"] = str(error)
    return row


def journal(name: str, *, as_json: bool) -> int:
    """Print all entries of a model.

    Raises:
        InputError: There is no such model.
        IntegrityError: The chain is broken.
    """
    connect()
    history = known(Store.from_environment(), name)
    entries = history.entries()
    for digest in {entry.manifest for entry in entries}:
        history.get_manifest(digest)
    if as_json:
        found = [entry.model_dump(mode="json") for entry in entries]
        wide_console().out(json.dumps({"model": name, "verified": True, "entries": found}), highlight=False)
    else:
        headings = ("seq", "time", "action", "version", "manifest", "actor", "reason")
        _print(headings, [_entry(entry) for entry in entries])
    return 0


def known(store: Store, name: str) -> Journal:
    """The journal of a model that is in the store.

    Raises:
        InputError: There is no such model; those there are, are named.
    """
    there = models_of(store)
    if name not in there:
        raise InputError(unknown_name("model", name, there))
    return Journal(store, name)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    if row["problem"]:
        return (row["model"], "broken", "", "", "", "", str(row["versions"] or ""), row["problem"])
    metric = f"{row['metric_name']} {row['metric']:.4g}" if row["metric"] is not None else ""
    size = f"{row['size_bytes']:,}" if row["size_bytes"] is not None else ""
    seq = str(row["seq"] or "")
    last = f"{row['last_entry']}, {row['last_time'][:19]}" if row["last_entry"] else "nothing is published"
    return (row["model"], row["champion"] or "none", seq, row["since"][:19], metric, size, str(row["versions"]), last)


def _entry(entry: JournalEntry) -> tuple[str, ...]:
    manifest = entry.manifest[:SHORT]
    return (
        str(entry.seq),
        entry.time[:19],
        entry.action,
        entry.version,
        manifest,
        entry.actor,
        " ".join(entry.reason.split()),
    )


def _print(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    wide_console().print(table)
