"""Whether new data still are what the champion learned from: the flow in this process, then a table.

Exit codes: 0 no drift, 3 drift, 2 it cannot be judged as it was asked, 1 what it is judged by is gone.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.command.moments import age
from deployments.command.outcome import wide_console
from deployments.command.progress import shown
from deployments.command.recipe import overlay, parse_assignment
from deployments.command.retraining import keep_logs_off_the_terminal
from deployments.local.connection import connect
from deployments.local.health import problem_of
from deployments.local.settings import read_settings
from tasks.contracts.config import DriftConfig
from tasks.contracts.drift import DriftReport
from tasks.contracts.errors import ConfigError, UnavailableError
from tasks.contracts.explain import explain

Flow = Callable[[DriftConfig], DriftReport]
DRIFTED = 3
SHOWN = ("column", "role", "drifted", "PSI", "distance", "p", "why")


def compose(name: str, source: str, since: str, assignments: Sequence[str], *, samples: bool) -> DriftConfig:
    """The form of a command line.

    Raises:
        ConfigError: A field is wrong, or two do not go together.
    """
    fields: dict[str, Any] = {"model_name": name, "source": source}
    if since:
        fields["since_hours"] = age(since, "--since").total_seconds() / 3600
    for assignment in assignments:
        fields = overlay(fields, parse_assignment(assignment))
    try:
        config = DriftConfig.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(explain(error)) from error
    if samples and config.source:
        raise ConfigError(f"SOURCE is {config.source!r}, but --samples takes what the server was asked: leave one out")
    if since and config.source:
        raise ConfigError(f"--since is {since!r}, but only the server's samples have a time: leave out SOURCE, or it")
    return config


def drift_and_show(config: DriftConfig, *, as_json: bool, flow: Flow | None = None) -> int:
    """Run the flow and print what it found; 3 if anything drifted.

    Args:
        config: Of `compose`.
        as_json: Whether the last line is one JSON object instead of a table.
        flow: What is run instead of the drift flow.

    Raises:
        IngotError: It cannot be judged; the message is for the user.
    """
    settings, steps = read_settings(), Console(stderr=True)
    settings.place.prepare()
    addresses = connect(settings, lambda line: steps.print(f"  {line}", style="dim"))
    if problem := problem_of("prefect", addresses):
        raise UnavailableError(f"the Prefect server does not answer ({problem}): start it, or correct PREFECT_API_URL")
    keep_logs_off_the_terminal(settings.place)
    from flows.drift import drift

    with shown(steps):
        report = (flow or drift)(config)
    show(report, as_json=as_json)
    return DRIFTED if report.drifted else 0


def show(report: DriftReport, *, as_json: bool) -> None:
    """Print the report."""
    console = wide_console()
    if as_json:
        told = report.model_dump(mode="json") | {"drifted": report.drifted}
        console.out(json.dumps(told), highlight=False)
        return
    from tasks.exporters.drift_report import HEADINGS, rows, summary

    places = [HEADINGS.index(heading) for heading in SHOWN]
    table = Table(box=box.SIMPLE_HEAD)
    for heading in SHOWN:
        table.add_column(heading, overflow="fold")
    for row in rows(report):
        table.add_row(*(escape(_printable(row[place])) for place in places), style="bold" if row[2] else "")
    console.print(table)
    for line in (summary(report), report.reason, *report.notes):
        console.print(_printable(line), markup=False, highlight=False, soft_wrap=True)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
