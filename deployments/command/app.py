"""The commands, each a door: arguments in, one call, something printed."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.command import access

app = typer.Typer(
    name="ingot",
    help="Retrain a model, cut it to its budget, publish it and serve it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

registry = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(registry, name="registry", help="Let MLflow's registry agree with the journals, or make it again.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


@app.callback()
def _environment() -> None:
    """Retrain a model, cut it to its budget, publish it and serve it."""
    from dotenv import load_dotenv

    load_dotenv(Path(".env"))


@app.command()
def up() -> None:
    """Start the embedded stack in the background and wait until it is healthy; reuse it if it runs."""
    from deployments.command import stack

    stack.up()


@app.command()
def down() -> None:
    """Stop the embedded stack in order; nothing is lost."""
    from deployments.command import stack

    stack.down()


@app.command()
def status(as_json: Json = False) -> None:
    """Show how each part fares; exit 0 only if all are healthy."""
    from deployments.command import stack

    raise typer.Exit(stack.status(as_json=as_json))


@app.command()
def doctor() -> None:
    """Look at Python, packages, ports, disk, S3 and settings, and say the mend."""
    from deployments.command import stack

    raise typer.Exit(stack.doctor())


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="A deployment of deployments/prefect.yaml.")] = "",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="One field, e.g. train.epochs=3.")
    ] = None,
    params: Annotated[Path | None, typer.Option(help="Fields from a YAML or JSON file.")] = None,
    as_json: Json = False,
) -> None:
    """Retrain once, here and now, and show what came of it."""
    from deployments.command.recipe import compose
    from deployments.command.retraining import retrain_and_show

    config = compose(name, params, assignments or [])
    raise typer.Exit(retrain_and_show(config, as_json=as_json))


@app.command()
def plan(
    name: Annotated[str, typer.Argument(help="A deployment of deployments/prefect.yaml.")] = "",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="One field, e.g. train.epochs=3.")
    ] = None,
    params: Annotated[Path | None, typer.Option(help="Fields from a YAML or JSON file.")] = None,
    as_json: Json = False,
) -> None:
    """Say what `ingot run` would do now: which steps are known, which would run and why, and what that takes."""
    from deployments.command.planning import plan_and_show
    from deployments.command.recipe import compose

    plan_and_show(compose(name, params, assignments or []), as_json=as_json)


@app.command()
def compress(
    model: Annotated[Path, typer.Argument(help="An .onnx, .safetensors, .keras, TorchScript or .pt2 file.")],
    *,
    data: Annotated[str, typer.Option(help="Rows to calibrate and measure on: path, s3:// or http(s)://.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder to make; by default NAME-compressed.")] = None,
    max_drop: Annotated[float | None, typer.Option(help="Most loss: points of accuracy, or % of RMSE.")] = None,
    max_p95_ms: Annotated[float | None, typer.Option(help="Slowest p95 latency in milliseconds.")] = None,
    max_size_bytes: Annotated[int | None, typer.Option(help="Largest file.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="One field, e.g. ingest.scaling=none.")
    ] = None,
    params: Annotated[Path | None, typer.Option(help="Fields from a YAML or JSON file.")] = None,
    as_json: Json = False,
) -> None:
    """Compress a model that exists to a budget, without any server, and write what came of it into a folder."""
    from deployments.command.compression import compress_and_show, read_config

    limits = {"max_drop": max_drop, "max_p95_ms": max_p95_ms, "max_size_bytes": max_size_bytes}
    config = read_config(model, data, limits, params, assignments or [])
    raise typer.Exit(compress_and_show(config, out or Path(f"{model.stem}-compressed"), as_json=as_json))


@app.command()
def drift(
    name: Annotated[str, typer.Argument(help="A model with a champion.")],
    source: Annotated[str, typer.Argument(help="New data: path, s3:// or http(s)://; none takes the samples.")] = "",
    *,
    samples: Annotated[bool, typer.Option("--samples", help="Take what the server has kept of its requests.")] = False,
    since: Annotated[str, typer.Option(help="Age of the oldest sample, e.g. 12h or 7d; by default 24h.")] = "",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="One field, e.g. min_psi=0.3.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare new data with what the champion learned from; exit 0 without drift, 3 with it, 2 if nobody can judge."""
    from deployments.command.drift import compose, drift_and_show

    config = compose(name, source, since, assignments or [], samples=samples)
    raise typer.Exit(drift_and_show(config, as_json=as_json))


@app.command()
def deploy() -> None:
    """Register all deployments and schedules of deployments/prefect.yaml on the Prefect server."""
    from deployments.command import stack

    stack.deploy()


@app.command()
def serve(
    names: Annotated[list[str] | None, typer.Argument(help="Models to serve; none serves every champion.")] = None,
    host: Annotated[str, typer.Option(help="Interface to listen on; empty takes INGOT_SERVING_HOST.")] = "",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes INGOT_SERVING_PORT.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that share the port; 0 takes INGOT_SERVING_WORKERS.")] = 0,
) -> None:
    """Serve champions over HTTP, in the foreground, and follow them as they change."""
    from deployments.command import stack

    raise typer.Exit(stack.serve(names or [], host, port, workers))


@app.command()
def route(
    name: Annotated[str, typer.Argument(help="A model.")],
    *,
    canary: Annotated[str, typer.Option(metavar="V=SHARE", help="Version V answers that share of callers.")] = "",
    shadow: Annotated[str, typer.Option(metavar="V=SHARE", help="Version V is asked that share, unheard.")] = "",
    clear: Annotated[bool, typer.Option("--clear", help="End what is not named.")] = False,
    as_json: Json = False,
) -> None:
    """Show or change which versions share in a champion's requests."""
    from deployments.command.routing import route_and_show

    route_and_show(name, canary, shadow, clear=clear, as_json=as_json)


@app.command()
def pull(
    name: Annotated[str, typer.Argument(metavar="NAME[@champion|@V]", help="A model, or one version of it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make; must not exist.")],
    as_json: Json = False,
) -> None:
    """Write a published version into a folder: its signed manifest and every file, verified on the way."""
    from deployments.command.folder import pull_and_show

    raise typer.Exit(pull_and_show(name, out, as_json=as_json))


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="A folder that `ingot pull` wrote.")], as_json: Json = False
) -> None:
    """Check a pulled folder without any server: signature, files, operators, golden batch."""
    from deployments.command.folder import verify_and_show

    raise typer.Exit(verify_and_show(folder, as_json=as_json))


@app.command()
def models(as_json: Json = False) -> None:
    """Show every model in the store: its champion, since when, its figures; exit 0 only if all are sound."""
    from deployments.command import histories

    raise typer.Exit(histories.models(as_json=as_json))


@app.command()
def journal(name: Annotated[str, typer.Argument(help="A model.")], as_json: Json = False) -> None:
    """Show all that was published, promoted and rolled back, verified link by link."""
    from deployments.command import histories

    raise typer.Exit(histories.journal(name, as_json=as_json))


@app.command()
def ledger(
    name: Annotated[str, typer.Argument(help="A model.")],
    version: Annotated[str, typer.Argument(help="A published version; none shows the total of each.")] = "",
    as_json: Json = False,
) -> None:
    """Show what published versions took to make: seconds, CPU, peak memory, bytes moved, step by step."""
    from deployments.command.ledger import ledger_and_show

    ledger_and_show(name, version, as_json=as_json)


@app.command()
def promote(
    name: Annotated[str, typer.Argument(help="A model.")],
    version: Annotated[str, typer.Argument(help="A published version.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the journal.")] = "",
    if_better: Annotated[bool, typer.Option("--if-better", help="Only if it wins against the champion.")] = False,
    margin: Annotated[float, typer.Option(min=0, help="With --if-better: points of accuracy, or % of RMSE.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Make a published version champion; exit 1 if --if-better says no."""
    from deployments.command import decisions

    wanted = margin if if_better else None
    raise typer.Exit(decisions.promote(name, version, reason=reason, margin=wanted, as_json=as_json))


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="A model.")],
    *,
    to: Annotated[str, typer.Option(help="A version; without it, the champion before the present one.")] = "",
    to_time: Annotated[str, typer.Option(help="Who was champion then: 2026-11-21T02:00, or 3d ago.")] = "",
    reason: Annotated[str, typer.Option(help="Why; it is kept in the journal.")] = "",
    as_json: Json = False,
) -> None:
    """Make an earlier version champion again; works while MLflow is away."""
    from deployments.command import decisions

    raise typer.Exit(decisions.rollback(name, to=to, to_time=to_time, reason=reason, as_json=as_json))


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing; say what would go.")] = False,
    older_than: Annotated[
        str, typer.Option(help="Least age, e.g. 7d or 12h; below 1d only while nothing else works with the store.")
    ] = "7d",
    as_json: Json = False,
) -> None:
    """Delete what no journal entry and no live run needs any more."""
    from deployments.command import upkeep

    upkeep.collect_garbage(older_than, dry_run=dry_run, as_json=as_json)


@registry.command()
def reconcile(
    name: Annotated[str, typer.Argument(help="A model; none takes all.")] = "", as_json: Json = False
) -> None:
    """Let pointers and MLflow agree with the journals, here and now; exit 0 only if nothing is left to do."""
    from deployments.command import upkeep

    raise typer.Exit(upkeep.reconcile(name, as_json=as_json))


@registry.command()
def rebuild(name: Annotated[str, typer.Argument(help="A model; none takes all.")] = "", as_json: Json = False) -> None:
    """Make MLflow's registry again from the journals alone."""
    from deployments.command import upkeep

    raise typer.Exit(upkeep.reconcile(name, as_json=as_json))


app.add_typer(access.keys, name="keys")
app.add_typer(access.audit, name="audit")
app.command()(access.usage)
