"""A person decides who is champion: committed to the journal first, so that it holds while MLflow is away."""

import getpass
import json
from dataclasses import asdict
from datetime import datetime

from rich.console import Console

from deployments.command.histories import known
from deployments.command.moments import moment
from deployments.command.outcome import wide_console
from deployments.local.connection import connect
from tasks.contracts.errors import ConfigError
from tasks.exporters.appointment import Appointment, promote_version, roll_back
from tasks.stores.history import champion_at, predecessor, publication_of
from tasks.stores.s3 import Store


def promote(name: str, version: str, *, reason: str, margin: float | None, as_json: bool) -> int:
    """Make a version champion; 1 if it did not win where it must.

    Raises:
        InputError: There is no such model or version, or its gate did not pass.
        IntegrityError: It is not whole.
    """
    connect()
    journal = known(Store.from_environment(), name)
    publication = publication_of(journal, version)
    made = promote_version(journal, publication, actor=getpass.getuser(), reason=reason, margin=margin)
    _show(made, as_json=as_json)
    return 0 if made.champion else 1


def rollback(name: str, *, to: str, to_time: str, reason: str, as_json: bool) -> int:
    """Make an earlier version champion again.

    Raises:
        InputError: There is no such model or version, or nobody was champion then.
        IntegrityError: The version is not whole.
    """
    if to and to_time:
        raise ConfigError(f"--to is {to!r} and --to-time {to_time!r}, but one of them decides: leave one out")
    time = moment(to_time, "--to-time", datetime.now().astimezone()) if to_time else None
    connect()
    journal = known(Store.from_environment(), name)
    if time is not None:
        target = champion_at(journal, time)
    else:
        target = publication_of(journal, to) if to else predecessor(journal)
    made = roll_back(journal, target, actor=getpass.getuser(), reason=reason)
    _show(made, as_json=as_json)
    return 0


def _show(made: Appointment, *, as_json: bool) -> None:
    if made.alias_waits:
        line = f"MLflow's alias follows at the next reconciliation: {made.alias_waits}"
        Console(stderr=True).print(line, markup=False, highlight=False, soft_wrap=True)
    if as_json:
        wide_console().out(json.dumps(asdict(made)), highlight=False)
        return
    now = "is champion now" if made.changed else "is champion already" if made.champion else "stays as it is"
    line = f"{made.model} version {made.version} {now}" + (f" (entry {made.seq})" if made.champion else "")
    wide_console().print(f"{line}: {made.reason}", markup=False, highlight=False, soft_wrap=True)
