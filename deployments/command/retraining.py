"""One retraining, here and now: the stack, the flow in this process, the new champion in service."""

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from rich.console import Console

from deployments.command import outcome
from deployments.command.progress import shown
from deployments.local import serving
from deployments.local.connection import connect
from deployments.local.health import problem_of
from deployments.local.home import Home
from deployments.local.settings import Settings, read_settings
from deployments.local.state import Addresses
from tasks.contracts.config import RetrainConfig
from tasks.contracts.errors import UnavailableError
from tasks.contracts.manifest import Manifest
from tasks.contracts.version import ModelVersion

Flow = Callable[[RetrainConfig], ModelVersion]
SERVED_SECONDS = 30.0


def retrain_and_show(config: RetrainConfig, *, as_json: bool, flow: Flow | None = None) -> int:
    """Run the flow and print what came of it; 0 if there is a version, 1 if the winner was rejected.

    Args:
        config: What shall be done.
        as_json: Whether the last line is one JSON object instead of tables.
        flow: What is run instead of the retraining flow.

    Raises:
        IngotError: The run failed; the message is for the user.
    """
    settings, steps = read_settings(), Console(stderr=True)
    settings.place.prepare()
    addresses = connect(settings, lambda line: steps.print(f"  {line}", style="dim"))
    if problem := problem_of("prefect", addresses):
        raise UnavailableError(f"the Prefect server does not answer ({problem}): start it, or correct PREFECT_API_URL")
    keep_logs_off_the_terminal(settings.place)
    steps.print(f"retraining {config.model_name}", style="bold")
    flow = flow or load_flow()
    with shown(steps) as progress:
        version = flow(config)
    version = version.model_copy(update={"seconds": version.seconds or progress.seconds})
    if version.champion:
        await_service(addresses.serving_url, version)
    if as_json:
        Console().out(json.dumps(outcome.as_object(version)), highlight=False)
    else:
        show(version, config, settings, addresses)
    return 1 if version.status == "rejected" else 0


def keep_logs_off_the_terminal(home: Home) -> None:
    """Send what Prefect and the libraries log to the Prefect UI and to a file; must precede Prefect's import."""
    os.environ["PREFECT_LOGGING_SETTINGS_PATH"] = str(Path(__file__).with_name("logging.yml"))
    os.environ["PREFECT_LOGGING_HANDLERS_FILE_FILENAME"] = str(home.log("run"))
    logging.captureWarnings(True)


def load_flow() -> Flow:
    """The retraining flow; models by import path are found from the working directory, as `python -m` finds them."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    from flows.retrain import retrain

    return retrain


def await_service(serving_url: str, version: ModelVersion, patience_seconds: float = SERVED_SECONDS) -> None:
    """Wait until the serving process answers with a version, or wants a key that we do not have.

    Raises:
        UnavailableError: It does not in time: it refused the version, or does not run.
    """
    url = f"{serving_url}/v2/models/{version.model}/versions/{version.version}/ready"
    deadline = time.monotonic() + patience_seconds
    trusted = serving.trust()
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.get(url, timeout=2, headers=serving.headers(), verify=trusted)
            if answer.is_success or answer.status_code in (401, 403):
                return
        time.sleep(0.1)
    raise UnavailableError(
        f"{version.model} version {version.version} is published, but not served after {patience_seconds:g} s: "
        f"see `ingot status` and {serving_url}/v2/models/{version.model}"
    )


def show(version: ModelVersion, config: RetrainConfig, settings: Settings, addresses: Addresses) -> None:
    """Print tables, addresses and a request to paste."""
    console = outcome.wide_console()
    manifest = find_manifest(version, config)
    if version.candidates:
        metric_name = manifest.metric_name if manifest else "metric"
        title = f"candidates of {version.model}"
        console.print(outcome.candidates_table(version.candidates, title, version.winner, metric_name, console.width))
    console.print(outcome.summary(version), style="bold", markup=False, soft_wrap=True)
    console.print(outcome.addresses(version, addresses.serving_url), markup=False, highlight=False, soft_wrap=True)
    if manifest and version.champion:
        body, expected = outcome.example_request(manifest)
        example = outcome.write_example(settings.place, version.model, body)
        console.print(f"\ntry it (must answer {expected}):", markup=False, highlight=False)
        console.print(outcome.curl(addresses.serving_url, version.model, example), markup=False, soft_wrap=True)


def find_manifest(version: ModelVersion, config: RetrainConfig) -> Manifest | None:
    """What was published, if anything was."""
    if not version.manifest_sha256:
        return None
    from tasks.stores.journal import Journal
    from tasks.stores.s3 import Store

    store = Store.from_environment(config.publish.bucket, config.publish.prefix)
    return Journal(store, version.model).get_manifest(version.manifest_sha256)
