"""What the commands around access print."""

import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich import box
from rich.console import Console
from rich.table import Table

from deployments.command.outcome import wide_console
from deployments.local.connection import connect
from deployments.local.environment import addresses_of, apply
from deployments.local.ports import LOCALHOST
from deployments.local.settings import Settings, read_settings
from deployments.local.stack import running
from deployments.serving.settings import is_model_name, state_folder
from tasks.contracts.access import ApiKey, now
from tasks.contracts.errors import ConfigError
from tasks.contracts.explain import explain
from tasks.stores.access import Keys
from tasks.stores.s3 import Store
from tasks.stores.s3.folder import SCHEME

_RATE = re.compile(r"(\d+(?:\.\d+)?) ?/ ?(s|sec|second|m|min|minute|h|hour)")
_PER_SECOND = {"s": 1, "m": 60, "h": 3600}
_SPAN = re.compile(r"(\d{1,5})([hd])")


def add_key(name: str, *, models: Sequence[str], rate: str, daily: int, expires: str, as_json: bool) -> None:
    """Make a key, and print its token.

    Raises:
        ConfigError: An option has a value it cannot have.
    """
    for model in models:
        if not is_model_name(model):
            raise ConfigError(f"--model is {model!r}, but must begin with a-z or 0-9 and hold only a-z 0-9 _ -")
    limits: dict[str, Any] = {"rate_per_second": rate_of(rate), "daily": daily, "expires_at": moment_of(expires)}
    _check(name, models, limits)
    key, token = _keys().add(name, models=tuple(models), **limits)
    if as_json:
        _print_json(_as_object(key) | {"token": token})
        return
    console = Console()
    console.print(f"key {key.id} ({key.name}) is made; its token is shown this once:", markup=False, soft_wrap=True)
    console.print(f"\n{token}\n", markup=False, highlight=False, soft_wrap=True)
    console.print(f"send it as `Authorization: Bearer {token[:14]}_...`", markup=False, soft_wrap=True, style="dim")


def list_keys(*, as_json: bool) -> None:
    """Print all keys."""
    keys = _keys().list()
    if as_json:
        _print_json({"keys": [_as_object(key) for key in keys]})
        return
    table = _table("id", "name", "state", "models", "rate", "daily", "made", "expires")
    for key in keys:
        rate = f"{key.rate_per_second:g}/s" if key.rate_per_second else "-"
        models, daily = ", ".join(key.models) or "all", f"{key.daily:,}" if key.daily else "-"
        times = key.created_at[:10], key.expires_at[:16] or "never"
        table.add_row(key.id, key.name, key.state(now()), models, rate, daily, *times)
    _print_table(
        table, "no key yet: `ingot keys add NAME` makes one; until then a server on loopback answers everybody"
    )


def revoke_key(identity: str) -> None:
    """End a key."""
    key = _keys().revoke(identity)
    Console().print(f"key {key.id} ({key.name}) is revoked since {key.revoked_at}", markup=False, soft_wrap=True)


def show_usage(key: str, days: int, *, as_json: bool) -> None:
    """Print what was used on this machine."""
    from deployments.serving.access.usage import DATABASE, read_usage

    path = state_folder() / DATABASE
    rows = read_usage(path, key=key, days=days)
    if as_json:
        _print_json({"database": str(path), "usage": [row._asdict() for row in rows]})
        return
    table = _table("day", "key", "name", "model", "requests", "rows", "errors", "in", "out", "seconds")
    for row in rows:
        sums = (f"{each:,}" for each in (row.requests, row.rows, row.errors, row.bytes_in, row.bytes_out))
        table.add_row(row.day, row.key or "-", row.name, row.model or "-", *sums, f"{row.seconds:.3f}")
    _print_table(table, f"nothing was used in {days} days")
    Console().print(f"counted on this machine, in {path}", style="dim", markup=False, soft_wrap=True)


def verify_audit(folder: Path | None, *, as_json: bool) -> None:
    """Print that an audit log is whole, and its heads.

    Raises:
        IntegrityError: It is not.
    """
    from deployments.serving.access.verification import verify

    folder = folder or state_folder() / "audit"
    reports = verify(folder)
    if as_json:
        chains = [{name: getattr(report, name) for name in report.__slots__} for report in reports]
        _print_json({"folder": str(folder), "whole": True, "chains": chains})
        return
    console, lines = Console(), sum(report.lines for report in reports)
    console.print(
        f"whole: {lines:,} lines in {len(reports)} chains of {folder}; keep the heads elsewhere:", soft_wrap=True
    )
    for report in reports:
        torn = f", {report.torn_bytes} bytes torn at its end" if report.torn_bytes else ""
        what = f"chain {report.slot}: {report.files} files, {report.lines:,} lines{torn}, head {report.head}"
        console.print(what, markup=False, highlight=False, soft_wrap=True)


def rate_of(text: str) -> float:
    """Requests a second; 0 for an empty text.

    >>> [rate_of(text) for text in ("100/s", "90/min", "")]
    [100.0, 1.5, 0.0]

    Raises:
        ConfigError: It is no rate.
    """
    if not text:
        return 0.0
    found = _RATE.fullmatch(text.strip())
    rate = float(found[1]) / _PER_SECOND[found[2][0]] if found else 0.0
    if not rate:
        raise ConfigError(f"--rate is {text!r}, but must be requests a second, minute or hour: 100/s, 600/min")
    return rate


def moment_of(text: str) -> str:
    """A moment in UTC as ISO 8601, from a span or a date; empty for an empty text.

    Raises:
        ConfigError: It is neither, or has passed.
    """
    if not text:
        return ""
    rule = f"--expires is {text!r}, but must be a span or a day to come: 90d, 12h, 2027-01-31"
    try:
        if found := _SPAN.fullmatch(text.strip()):
            moment = now() + timedelta(hours=int(found[1]) * (24 if found[2] == "d" else 1))
        else:
            given = datetime.fromisoformat(text.strip())
            moment = given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError(rule) from error
    if moment <= now():
        raise ConfigError(rule)
    return moment.isoformat()


def _check(name: str, models: Sequence[str], limits: dict[str, Any]) -> None:
    try:
        ApiKey(id="0" * 8, name=name, sha256="0" * 64, models=tuple(models), created_at="", **limits)
    except ValidationError as error:
        raise ConfigError(explain(error, ApiKey)) from error


def _keys() -> Keys:
    if not os.environ.get("INGOT_BUCKET", "").startswith(SCHEME):
        _reach_store(read_settings())
    return Keys(Store.from_environment())


def _reach_store(settings: Settings) -> None:
    """Puts the store's address into the environment, also while the server will not start for want of a key.

    A stack that does not run yet is started on loopback, where its server needs none.
    """
    if running(settings) is None:
        connect(settings.model_copy(update={"serving_host": LOCALHOST}))
    else:
        apply(settings, addresses_of(settings), os.environ)


def _as_object(key: ApiKey) -> dict[str, Any]:
    return key.model_dump(mode="json", exclude={"sha256"}) | {"state": key.state(now())}


def _print_json(value: dict[str, Any]) -> None:
    Console().out(json.dumps(value), highlight=False)


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _print_table(table: Table, nothing: str) -> None:
    if table.row_count:
        wide_console().print(table, markup=False)
    else:
        Console().print(nothing, markup=False, soft_wrap=True)
