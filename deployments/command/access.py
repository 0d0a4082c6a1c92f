"""The commands around access: `ingot keys`, `ingot usage`, `ingot audit`, each a door."""

from pathlib import Path
from typing import Annotated

import typer

keys = typer.Typer(help="API keys of the server: make, list, revoke.", no_args_is_help=True, rich_markup_mode=None)
audit = typer.Typer(help="The server's audit log.", no_args_is_help=True, rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


@keys.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What to call it, e.g. the caller's name.")],
    *,
    models: Annotated[list[str] | None, typer.Option("--model", help="A model it may ask; none allows all.")] = None,
    rate: Annotated[str, typer.Option(help="Most requests, e.g. 100/s, 600/min; over all workers.")] = "",
    daily: Annotated[int, typer.Option(help="Most requests a UTC day; 0 is unlimited.")] = 0,
    expires: Annotated[str, typer.Option(help="When it ends: in 90d, 12h, or on 2027-01-31.")] = "",
    as_json: Json = False,
) -> None:
    """Make a key, and show its token this once."""
    from deployments.command import books

    books.add_key(name, models=models or [], rate=rate, daily=daily, expires=expires, as_json=as_json)


@keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """List all keys, revoked ones too; tokens are kept nowhere."""
    from deployments.command import books

    books.list_keys(as_json=as_json)


@keys.command("revoke")
def revoke(identity: Annotated[str, typer.Argument(metavar="ID", help="As `ingot keys list` shows it.")]) -> None:
    """End a key; servers refuse it within a poll, without a restart."""
    from deployments.command import books

    books.revoke_key(identity)


def usage(
    key: Annotated[str, typer.Option(help="Of one key alone, by its ID.")] = "",
    days: Annotated[int, typer.Option(min=1, help="Of how many days, today with them.")] = 30,
    as_json: Json = False,
) -> None:
    """Show what each key has used on this machine, by model and day."""
    from deployments.command import books

    books.show_usage(key, days, as_json=as_json)


@audit.command("verify")
def verify(
    folder: Annotated[Path | None, typer.Argument(help="By default `audit` in INGOT_SERVING_STATE.")] = None,
    as_json: Json = False,
) -> None:
    """Check that no line was changed, removed or put in; exit 1 names the first break."""
    from deployments.command import books

    books.verify_audit(folder, as_json=as_json)
