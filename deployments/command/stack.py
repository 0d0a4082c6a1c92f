"""What the commands around the embedded stack print."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.command.outcome import wide_console
from deployments.local import doctor as examination
from deployments.local.connection import connect
from deployments.local.ports import refuse_taken
from deployments.local.registration import register, register_if_changed
from deployments.local.settings import read_settings
from deployments.local.stack import PartReport, StackReport, look, running
from deployments.local.stack import down as stop
from deployments.local.stack import up as start
from deployments.local.state import Addresses
from tasks.contracts.errors import ConfigError
from tasks.stores.signing import SIGNING_KEY, TRUSTED_KEYS, Keyring

TITLES = {"s3": "S3 (SeaweedFS)", "prefect": "Prefect", "mlflow": "MLflow", "worker": "worker", "serving": "serving"}


def up() -> None:
    """Start the stack, register the deployments, and print the addresses."""
    console, settings = Console(), read_settings()
    addresses = start(settings, lambda line: console.print(f"  {line}", style="dim"))
    console.print(_addresses(addresses), markup=False, highlight=False, soft_wrap=True)
    if not settings.prefect_api_url:
        register_if_changed(settings.place, addresses.prefect_api_url)


def down() -> None:
    """Stop the stack."""
    settings = read_settings()
    stopped = stop(settings)
    Console().print(
        "stopped; nothing was lost" if stopped else f"no stack runs in {settings.place.root}", soft_wrap=True
    )


def status(*, as_json: bool) -> int:
    """Print how each part fares; 0 only if all are healthy."""
    report, console = look(read_settings()), wide_console()
    if as_json:
        console.out(json.dumps(report.model_dump(mode="json")), highlight=False)
    elif report.running:
        console.print(_parts(report))
        for part in report.parts:
            for line in part.log if not part.healthy or part.restarts else ():
                console.print(f"  {part.name} | {line}", style="dim", markup=False, soft_wrap=True)
    else:
        console.print(f"no stack runs in {report.home}: start it with `ingot up`", soft_wrap=True)
    return 0 if report.healthy else 1


def doctor() -> int:
    """Print what was examined and how to mend it; 0 only if all is well."""
    console = Console()
    findings = examination.examine(read_settings())
    for finding in findings:
        mark = "[green]ok  [/]" if finding.well else "[red]fail[/]"
        mend = "" if finding.well else f"\n     [yellow]mend:[/] {escape(finding.mend)}"
        console.print(f"{mark} {escape(finding.what)}: {escape(finding.found)}{mend}", soft_wrap=True, highlight=False)
    return 0 if all(finding.well for finding in findings) else 1


def deploy() -> None:
    """Register every deployment, and name them."""
    settings = read_settings()
    addresses = connect(settings)
    settings.place.prepare()
    names = register(settings.place, addresses.prefect_api_url)
    Console().print(f"registered {', '.join(names)}: see {addresses.prefect_ui_url}/deployments", soft_wrap=True)


def serve(names: Sequence[str], host: str, port: int, workers: int) -> int:
    """Serve until stopped; the exit code.

    Raises:
        ConfigError: The port is taken.
    """
    from deployments.serving.__main__ import start as start_serving
    from deployments.serving.settings import Settings as Serving

    settings = read_settings()
    wanted = port or settings.serving_port
    addresses = connect(settings)
    if wanted == settings.serving_port and running(settings):
        raise ConfigError(
            f"the port is {wanted}, but must be free: the embedded stack serves every champion at "
            f"{addresses.serving_url} already; give --port for a second server"
        )
    refuse_taken({"INGOT_SERVING_PORT": wanted})
    os.environ[TRUSTED_KEYS] = Keyring.from_environment().trusted_pem
    os.environ.pop(SIGNING_KEY, None)  # who serves verifies, and never signs
    serving = Serving.from_environment()
    host, workers = host or settings.serving_host, workers or serving.workers
    return start_serving(names, replace(serving, host=host, port=wanted, workers=workers))


def _addresses(addresses: Addresses) -> str:
    places = {
        "Prefect": addresses.prefect_ui_url,
        "MLflow": addresses.mlflow_tracking_uri,
        "S3": f"{addresses.s3_endpoint_url} (bucket {addresses.bucket})",
        "serving": addresses.serving_url,
    }
    return "\n".join(f"{what:<8} {where}" for what, where in places.items())


def _parts(report: StackReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("part", "health", "address", "pid", "up", "memory", "restarts"):
        table.add_column(heading, overflow="fold")
    for part in report.parts:
        table.add_row(*_row(part))
    return table


def _row(part: PartReport) -> tuple[str, ...]:
    health = "[green]healthy[/]" if part.healthy else f"[red]{escape(part.problem or part.state)}[/]"
    if part.state == "external":
        return TITLES[part.name], health, part.address, "yours", "", "", ""
    memory = f"{part.memory_bytes / 2**20:.0f} MiB" if part.memory_bytes else ""
    uptime = f"{part.uptime_seconds:.0f} s" if part.uptime_seconds else ""
    return TITLES[part.name], health, part.address, str(part.pid or ""), uptime, memory, str(part.restarts)
