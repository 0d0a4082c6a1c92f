"""What can be wrong with a machine before anything is started, and the mend of each."""

import os
import shutil
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from deployments.local.environment import addresses_of, apply
from deployments.local.parts import executable
from deployments.local.ports import holder, is_free
from deployments.local.settings import Settings
from deployments.local.stack import running
from tasks.contracts.errors import IngotError

NEEDED_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    well: bool
    found: str
    mend: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; nothing is changed but S3's probe objects."""
    examinations: tuple[Callable[[Settings], Finding], ...] = (
        _python, _packages, _programs, _home, _disk, _connection, _ports, _s3,
    )  # fmt: skip
    return [examination(settings) for examination in examinations]


def unmet(requirements: list[str]) -> list[str]:
    """The pinned packages that are missing or of another version: `prefect 3.9 (must be ==3.8.8)`."""
    wrong = []
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            have = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(have, prereleases=True):
            wrong.append(f"{requirement.name} {have} (must be {requirement.specifier})")
    return wrong


def _python(_: Settings) -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", sys.version_info[:2] == (3, 11), found, "make the virtual environment with python3.11")


def _packages(_: Settings) -> Finding:
    wrong = unmet(requires("ingot") or [])
    shown = (
        ", ".join(f"{name} {version(name)}" for name in ("prefect", "mlflow", "torch", "onnxruntime"))
        if not wrong
        else ""
    )
    return Finding(
        "packages", not wrong, "; ".join(wrong) or f"as pinned: {shown}", "pip install -c constraints.txt -e ."
    )


def _programs(_: Settings) -> Finding:
    try:
        found = ", ".join(executable(name) for name in ("weed", "prefect", "mlflow"))
    except IngotError as error:
        return Finding("programs", False, str(error), "pip install -c constraints.txt -e .")
    return Finding("programs", True, found)


def _home(settings: Settings) -> Finding:
    root = settings.place.root
    if not root.exists():
        return Finding("home", True, f"{root} will be made by the first `ingot up`")
    mode = stat.S_IMODE(root.stat().st_mode)
    return Finding("home", mode == 0o700, f"{root} has mode {mode:04o}", f"chmod 700 {root}: it holds keys")


def _disk(settings: Settings) -> Finding:
    folder = settings.place.root
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free under {folder}"
    return Finding(
        "disk", free >= NEEDED_BYTES, found, f"free at least {NEEDED_BYTES / 2**30:.0f} GiB, or move INGOT_HOME"
    )


def _connection(settings: Settings) -> Finding:
    own = {
        "PREFECT_API_URL": settings.prefect_api_url,
        "MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
        "AWS_ENDPOINT_URL": settings.s3_endpoint_url,
    }
    shown = ", ".join(f"{name} {'is ' + value if value else 'embedded'}" for name, value in own.items())
    if not settings.s3_endpoint_url and os.environ.get("AWS_ACCESS_KEY_ID"):
        mend = "set AWS_ENDPOINT_URL as well to use your own S3, or unset AWS_ACCESS_KEY_ID"
        return Finding(
            "connection", False, f"{shown}; AWS_ACCESS_KEY_ID is set, but the embedded S3 has keys of its own", mend
        )
    return Finding("connection", True, shown)


def _ports(settings: Settings) -> Finding:
    if running(settings):
        return Finding("ports", True, "held by the running stack")
    taken = {name: port for name, port in settings.ports.items() if not is_free(port)}
    found = "; ".join(f"{name} {port}: {holder(port)}" for name, port in taken.items())
    mend = f"stop the holder, or set {' and '.join(dict.fromkeys(name.split()[0] for name in taken))} to another port"
    return Finding("ports", not taken, found or f"{len(settings.ports)} are free", mend)


def _s3(settings: Settings) -> Finding:
    if not settings.s3_endpoint_url and not running(settings):
        return Finding("S3", True, "embedded, not running: `ingot up` starts it")
    from tasks.stores.s3 import Store

    addresses = addresses_of(settings)
    apply(settings, addresses, os.environ)
    try:
        Store.from_environment(addresses.bucket).probe()
    except IngotError as error:
        return Finding("S3", False, str(error), "see `ingot status`, or correct AWS_ENDPOINT_URL and the keys")
    return Finding("S3", True, f"{addresses.s3_endpoint_url} commits safely: one winner a race, nobody without a key")
