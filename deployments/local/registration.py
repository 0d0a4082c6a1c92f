"""Putting the deployments of `prefect.yaml` on the Prefect server, with the very command a user would type."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import yaml

import flows
from deployments.local import automations
from deployments.local.environment import WORK_POOL
from deployments.local.health import ask_prefect
from deployments.local.home import Home, write_privately
from deployments.local.parts import executable
from deployments.local.root import PREFECT_FILE, ROOT_VARIABLE
from deployments.local.settings import read_settings
from tasks.contracts import config
from tasks.contracts.errors import ConfigError, IngotError, UnavailableError
from tasks.contracts.record import canonical_json, sha256_hex
from tasks.contracts.secrets import open_address
from tasks.contracts.sighting import RETRAINING

DEPLOY_SECONDS = 120.0
POOL_SECONDS = 30.0


def deployment_names(prefect_file: Path = PREFECT_FILE) -> tuple[str, ...]:
    """The deployments that a file describes.

    Raises:
        ConfigError: It is not there, or not what Prefect reads.
    """
    return tuple(entry["name"] for entry in _entries(prefect_file))


def read_deployments(prefect_file: Path = PREFECT_FILE) -> dict[str, dict[str, object]]:
    """The `config` parameter of each deployment that retrains, by its name.

    Raises:
        ConfigError: The file is not there, or not what Prefect reads.
    """
    return {
        entry["name"]: (entry.get("parameters") or {}).get("config") or {}
        for entry in _entries(prefect_file)
        if RETRAINING.search(entry.get("entrypoint", "retrain"))
    }


def _entries(prefect_file: Path) -> list[dict[str, Any]]:
    try:
        content = yaml.safe_load(prefect_file.read_text())
        return [{**entry, "name": str(entry["name"])} for entry in content["deployments"]]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{prefect_file} is not a list of deployments, but must be: {reason}") from error


def register(home: Home, api_url: str, prefect_file: Path = PREFECT_FILE) -> tuple[str, ...]:
    """Register every deployment with its automations, and make the work pool they run in.

    Returns:
        The names of the deployments.

    Raises:
        ConfigError: The parameters of one hold a password or a token, or INGOT_NOTIFY names a block that is not there.
        IngotError: Prefect refused one.
        UnavailableError: The server does not answer.
    """
    names = deployment_names(prefect_file)
    _refuse_secrets(prefect_file)
    automations.check_blocks(api_url)
    _make_work_pool(api_url)
    _prefect("deploy", "--all", "--prefect-file", str(prefect_file))
    automations.settle(api_url)
    write_privately(home.registered, json.dumps(_written(api_url, prefect_file)).encode())
    return names


def register_if_changed(home: Home, api_url: str, prefect_file: Path = PREFECT_FILE) -> bool:
    """Register the deployments unless the server has them as they are; whether it was needed."""
    if _is_registered(home, api_url, prefect_file):
        return False
    _await_work_pool(api_url)
    register(home, api_url, prefect_file)
    return True


def fingerprint(prefect_file: Path = PREFECT_FILE) -> str:
    """Digest of all that registration reads: the file, the flows, and the forms that become the UI's form."""
    sources = [
        prefect_file,
        Path(config.__file__),
        Path(automations.__file__),
        *sorted(Path(next(iter(flows.__path__))).glob("*.py")),
    ]
    asked = [*automations.wanted_blocks(), str(read_settings().silent_seconds)]
    return sha256_hex(canonical_json([*asked, *(sha256_hex(path.read_bytes()) for path in sources)]))


def _refuse_secrets(prefect_file: Path) -> None:
    for name, parameters in read_deployments(prefect_file).items():
        for form, fields in (parameters or {}).items():
            source = fields.get("source") if isinstance(fields, dict) else None
            try:
                open_address(source if isinstance(source, str) else "")
            except ValueError as error:
                raise ConfigError(f"{prefect_file.name}, deployment {name!r}: {form}.{error}") from None


def _written(api_url: str, prefect_file: Path) -> dict[str, str]:
    return {"api_url": api_url, "fingerprint": fingerprint(prefect_file)}


def _is_registered(home: Home, api_url: str, prefect_file: Path) -> bool:
    try:
        if json.loads(home.registered.read_bytes()) != _written(api_url, prefect_file):
            return False
        if not automations.are_settled(api_url):
            return False
        known = {found["name"] for found in ask_prefect("POST", f"{api_url}/deployments/filter", {})}
    except (OSError, ValueError, httpx.HTTPError):
        return False
    return known.issuperset(deployment_names(prefect_file))


def _pool_exists(api_url: str) -> bool:
    try:
        ask_prefect("GET", f"{api_url}/work_pools/{WORK_POOL}")
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.NOT_FOUND:
            return False
        raise UnavailableError(
            f"the Prefect server at {api_url} answers {error.response.status_code}: see its log"
        ) from error
    except httpx.HTTPError as error:
        raise UnavailableError(
            f"the Prefect server at {api_url} does not answer ({error}): start it, or correct PREFECT_API_URL"
        ) from error
    return True


def _await_work_pool(api_url: str) -> None:
    """The worker that starts makes the pool; two makers at once would see one refused."""
    deadline = time.monotonic() + POOL_SECONDS
    while not _pool_exists(api_url) and time.monotonic() < deadline:
        time.sleep(0.2)


def _make_work_pool(api_url: str) -> None:
    if not _pool_exists(api_url):
        _prefect("work-pool", "create", WORK_POOL, "--type", "process")


def _prefect(*arguments: str) -> None:
    command = [executable("prefect"), "--no-prompt", *arguments]
    # The pull step must find INGOT_ROOT where it runs, not where it is registered.
    environment = {name: value for name, value in os.environ.items() if name != ROOT_VARIABLE} | {"COLUMNS": "200"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=DEPLOY_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(
            f"`prefect {arguments[0]}` took over {DEPLOY_SECONDS:g} s: see the Prefect server's log"
        ) from error
    if done.returncode:
        raise IngotError(f"`prefect {' '.join(arguments)}` failed: {reason_in(done.stdout + done.stderr)}")


def reason_in(output: str) -> str:
    r"""The line of a failed program's output that says why.

    >>> reason_in("Traceback (most recent call last):\n  ...\nImportError: no such thing\nAn exception occurred.")
    'ImportError: no such thing'
    """
    lines = [line.strip() for line in output.splitlines() if line.strip(" .") and "An exception occurred" not in line]
    return lines[-1] if lines else "it said nothing"
