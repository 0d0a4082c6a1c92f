"""What a retraining would do, and what it would take, in the terminal."""

import json

from rich import box
from rich.markup import escape
from rich.table import Table

from deployments.command.outcome import wide_console
from deployments.local.connection import connect
from tasks.contracts.config import RetrainConfig
from tasks.contracts.outlook import Outlook
from tasks.contracts.result import Cost

MARKS = {"kept": "[blue]kept[/]", "runs": "[green]runs[/]", "follows": "[dim]follows[/]"}


def plan_and_show(config: RetrainConfig, *, as_json: bool) -> None:
    """Print what is known, what would be done and why, and how long that took the last time.

    Raises:
        DataError: The source is not there.
        UnavailableError: S3 does not answer.
    """
    from flows.plan import plan

    connect()
    outlook = plan(config)
    console = wide_console()
    if as_json:
        content = outlook.model_dump(mode="json") | {"seconds": outlook.seconds}
        console.out(json.dumps(content), highlight=False)
        return
    console.print(_table(outlook))
    console.print(_summary(outlook), highlight=False, markup=False, soft_wrap=True)


def _table(outlook: Outlook) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("", "step", "last time", "CPU", "peak", "changed"):
        table.add_column(heading, justify="right" if heading in ("last time", "CPU", "peak") else "left")
    for step in outlook.steps:
        table.add_row(MARKS[step.state], escape(step.name), *_figures(step.cost), escape("; ".join(step.changed)))
    return table


def _figures(cost: Cost | None) -> tuple[str, str, str]:
    if cost is None:
        return ("", "", "")
    return (f"{cost.seconds:.1f} s", f"{cost.cpu_seconds:.1f} s", f"{cost.peak_bytes / 2**20:.0f} MiB")


def _summary(outlook: Outlook) -> str:
    if outlook.version:
        return f"{outlook.model}: version {outlook.version} is of the same recipe, data and code: nothing to do"
    kept = sum(step.state == "kept" for step in outlook.steps)
    took = "which nobody has timed yet" if outlook.seconds is None else f"which took {outlook.seconds:.1f} s last time"
    return f"{outlook.model}: {kept} steps are known, {len(outlook.steps) - kept} are to be done, {took}"
