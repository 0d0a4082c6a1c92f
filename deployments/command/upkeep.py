"""Keeping the store and MLflow's registry in order."""

import json
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from deployments.command.histories import known
from deployments.command.moments import age
from deployments.command.outcome import wide_console
from deployments.local.connection import connect
from tasks.exporters.agreement_report import HEADINGS, rows, summary
from tasks.stores.garbage import KINDS, Sweep, limit, sweep
from tasks.stores.s3 import Store
from tasks.stores.tracking.live import LiveRun, oldest_live_run


def collect_garbage(older_than: str, *, dry_run: bool, as_json: bool) -> None:
    """Delete what nothing names, and print how much it was.

    Raises:
        IntegrityError: Something that is named cannot be read: nothing was deleted.
        UnavailableError: MLflow or S3 does not answer: nothing was deleted.
    """
    least = age(older_than, "--older-than")
    connect()
    live, now = oldest_live_run(), datetime.now(UTC)
    before = limit(now, least, live.start if live else None)
    swept = sweep(Store.from_environment(), before, dry_run=dry_run)
    held = live if live and before < now - least else None
    if as_json:
        wide_console().out(json.dumps(_as_object(swept, before, held, dry_run=dry_run)), highlight=False)
    else:
        _show(swept, before, held, dry_run=dry_run)


def reconcile(name: str, *, as_json: bool) -> int:
    """Let one model or all agree with their journals; 0 only if nothing is left to do.

    Raises:
        InputError: There is no such model.
        UnavailableError: MLflow or S3 does not answer.
    """
    from tasks.reconcile import reconcile as look

    connect()
    if name:
        known(Store.from_environment(), name)
    agreements = look.fn(name)
    console = wide_console()
    if as_json:
        found = [agreement.model_dump(mode="json") for agreement in agreements]
        console.out(json.dumps({"models": found, "summary": summary(agreements)}), highlight=False)
    else:
        table = Table(*HEADINGS, box=box.SIMPLE_HEAD)
        for row in rows(agreements):
            table.add_row(*(escape(cell) for cell in row))
        if table.row_count:
            console.print(table)
        console.print(summary(agreements), markup=False, highlight=False, soft_wrap=True)
    return 0 if all(agreement.whole for agreement in agreements) else 1


def _as_object(swept: Sweep, before: datetime, held: LiveRun | None, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "before": before.isoformat(timespec="seconds"),
        "held_back_by": held.run_id if held else "",
        "garbage": {kind: swept.garbage[kind]._asdict() for kind in KINDS},
        "kept": {kind: swept.kept[kind]._asdict() for kind in KINDS},
    }


def _show(swept: Sweep, before: datetime, held: LiveRun | None, *, dry_run: bool) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("kind", "would go" if dry_run else "deleted", "bytes", "kept", "bytes"):
        table.add_column(heading, justify="left" if heading == "kind" else "right")
    for kind in KINDS:
        gone, kept = swept.garbage[kind], swept.kept[kind]
        cells = (f"{n:,}" for n in (gone.objects, gone.size_bytes, kept.objects, kept.size_bytes))
        table.add_row(kind, *cells)
    console = wide_console()
    console.print(table)
    console.print(f"only what was written before {before.isoformat(timespec='seconds')}", highlight=False)
    if held:
        line = f"held back by MLflow run {held.name or held.run_id}, under way since {held.start.isoformat()[:19]}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
