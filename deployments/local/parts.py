"""The five parts of the stack as commands: what FACTS measured as safe, and nothing a user could reach from outside."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from deployments.local import worker
from deployments.local.environment import REGION, WORK_POOL, addresses_of, apply
from deployments.local.ports import LOCALHOST
from deployments.local.root import ROOT_VARIABLE
from deployments.local.serving import scheme
from deployments.local.settings import Settings
from deployments.local.state import PartName
from tasks.contracts.errors import UnavailableError
from tasks.contracts.secrets import SOURCE, names
from tasks.stores.signing import SIGNING_KEY, TRUSTED_KEYS, Keyring

START_ORDER: tuple[PartName, ...] = ("s3", "prefect", "mlflow", "worker", "serving")
STOP_ORDER: tuple[tuple[PartName, ...], ...] = (("worker", "serving"), ("mlflow", "prefect"), ("s3",))
"""Who is stopped together: nobody loses a server that he still needs."""
HOLDERS: dict[str, tuple[PartName, ...]] = {
    SIGNING_KEY: ("worker",),  # who publishes; the others can at most verify
    "INGOT_OPENSSF_KEY": ("worker",),
    "INGOT_TLS_KEY": ("serving",),
    "AWS_SECRET_ACCESS_KEY": ("s3", "mlflow", "worker", "serving"),
    "AWS_SESSION_TOKEN": ("mlflow", "worker", "serving"),
    "MLFLOW_TRACKING_PASSWORD": ("worker",),
    "MLFLOW_TRACKING_TOKEN": ("worker",),
    "PREFECT_API_KEY": ("worker",),
    "PREFECT_API_AUTH_STRING": ("prefect", "worker"),
    "PREFECT_SERVER_API_AUTH_STRING": ("prefect",),
}
"""Which parts are given a secret; those of sources the worker alone, any other nobody."""
WORKER_NAME = "ingot-local"
HELD_BY = "INGOT_HELD_BY"
"""In the environment of every process of a stack: its home. By it a crashed stack's processes are found."""


@dataclass(frozen=True)
class Part:
    """One process of the stack."""

    name: PartName
    address: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(repr=False)
    needs: str = ""
    """An address that must answer before this part is started."""
    grace_seconds: float = 10.0


def embedded_parts(settings: Settings, root: Path) -> list[Part]:
    """The parts that are not the user's own, in the order in which they are started.

    Args:
        settings: Where things are.
        root: The folder flow runs work in.
    """
    addresses = addresses_of(settings)
    environment = dict(os.environ)
    apply(settings, addresses, environment)
    environment |= {ROOT_VARIABLE: str(root), HELD_BY: str(settings.place.root), "PYTHONUNBUFFERED": "1"}
    makers: dict[PartName, Callable[[Settings, dict[str, str]], Part]] = {
        "s3": _s3, "prefect": _prefect, "mlflow": _mlflow, "worker": _worker, "serving": _serving,
    }  # fmt: skip
    absent = set(external_parts(settings))
    # A worker of ours on a server of his would take up runs that were meant for others.
    absent |= {"worker"} if "prefect" in absent else set()
    trusted = {TRUSTED_KEYS: Keyring.from_environment(environment).trusted_pem}
    return [
        makers[name](settings, _held_by(name, environment) | ({} if name in HOLDERS[SIGNING_KEY] else trusted))
        for name in START_ORDER
        if name not in absent
    ]


def _held_by(part: PartName, environment: dict[str, str]) -> dict[str, str]:
    """The environment without the secrets that a part has no use for."""
    secret = set(names(environment))
    mine = {name for name in secret if part in HOLDERS.get(name, ("worker",) if name.startswith(SOURCE) else ())}
    return {name: value for name, value in environment.items() if name not in secret - mine}


def external_parts(settings: Settings) -> dict[PartName, str]:
    """The parts that the user runs himself, with their addresses."""
    given: dict[PartName, str] = {
        "s3": settings.s3_endpoint_url,
        "prefect": settings.prefect_api_url,
        "mlflow": settings.mlflow_tracking_uri,
    }
    return {name: address for name, address in given.items() if address}


def executable(name: str) -> str:
    """The program of this virtual environment, or else the one on the PATH.

    Raises:
        UnavailableError: There is none.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise UnavailableError(
            f"program {name!r} is missing, but must be installed: run `pip install -c constraints.txt .`"
        )
    return found


def _s3(settings: Settings, environment: dict[str, str]) -> Part:
    folder = settings.place.folder("s3")
    ports = tuple(f"-{name}.port={port}" for name, port in {"s3": settings.s3_port, **settings.s3_ports}.items())
    # Without these flags it binds 0.0.0.0, sends telemetry, and its filer answers without credentials.
    safe = (
        f"-ip={LOCALHOST}", f"-ip.bind={LOCALHOST}", "-disableHttp", "-master.telemetry=false", "-webdav=false",
        "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.allowDeleteBucketNotEmpty=false",
        "-s3.autoCreateBucket=false",
    )  # fmt: skip
    command = (executable("weed"), "mini", f"-dir={folder}", *safe, *ports)
    address = f"http://{LOCALHOST}:{settings.s3_port}"
    return Part("s3", address, command, environment | {"S3_BUCKET": settings.bucket}, grace_seconds=15)


def _prefect(settings: Settings, environment: dict[str, str]) -> Part:
    port = settings.prefect_port
    own = {
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # The default forgets at a restart who holds a deployment's slot, and frees it for nobody.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # The default '*' lets any web page start runs.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://{LOCALHOST}:{port},http://localhost:{port}",
    }
    command = (executable("prefect"), "--no-prompt", "server", "start", "--host", LOCALHOST, "--port", str(port))
    return Part("prefect", f"http://{LOCALHOST}:{port}", command, environment | own)


def _mlflow(settings: Settings, environment: dict[str, str]) -> Part:
    own = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_S3_ENDPOINT_URL": environment.get("AWS_ENDPOINT_URL", ""),
        "AWS_DEFAULT_REGION": environment.get("AWS_REGION", REGION),
    }
    database = settings.place.folder("mlflow") / "mlflow.db"
    command = (
        executable("mlflow"), "server", "--host", LOCALHOST, "--port", str(settings.mlflow_port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", f"s3://{settings.bucket}/mlflow",
    )  # fmt: skip
    server = {name: value for name, value in environment.items() if name != "MLFLOW_TRACKING_URI"}
    return Part("mlflow", f"http://{LOCALHOST}:{settings.mlflow_port}", command, server | own)


def _worker(_: Settings, environment: dict[str, str]) -> Part:
    own = {
        "PREFECT_WORKER_QUERY_SECONDS": "3",
        # Else a project with a pyproject.toml beside an installed uv is run in an environment uv makes up.
        "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES": "false",
    }
    command = (
        sys.executable, "-m", worker.__name__,
        executable("prefect"), "--no-prompt", "worker", "start", "--pool", WORK_POOL, "--type", "process",
        "--name", WORKER_NAME, "--limit", "2", "--install-policy", "never",
    )  # fmt: skip
    address = environment["PREFECT_API_URL"]
    return Part("worker", address, command, environment | own, needs=f"{address}/health")


def _serving(settings: Settings, environment: dict[str, str]) -> Part:
    address = f"{scheme()}://{settings.serving_host}:{settings.serving_port}"
    command = (sys.executable, "-m", "deployments.serving")
    # It finishes what it took, and then writes its books.
    needs = environment.get("AWS_ENDPOINT_URL", "")
    return Part("serving", address, command, environment, needs=needs, grace_seconds=25.0)
