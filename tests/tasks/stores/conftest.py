"""A real SeaweedFS and a real MLflow server, each started at most once a session, on free ports of 127.0.0.1."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tasks.contracts.errors import UnavailableError
from tasks.stores.s3 import Store

BIN = Path(sys.executable).parent
GRPC_OFFSET = 10000


class S3(NamedTuple):
    """Where the store listens, and the key that opens it."""

    endpoint: str
    access_key: str
    secret_key: str

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def free_ports(count: int, *, spare: int = GRPC_OFFSET) -> list[int]:
    """Ports that are free now, and whose partner `spare` above is free too."""
    found: list[int] = []
    while len(found) < count:
        port = 20000 + secrets.randbelow(25000)
        if port not in found and _is_free(port) and _is_free(port + spare):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def running(command: list[str], environment: dict[str, str], log: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """A child process, from the moment it is ready until it is told to go."""
    with log.open("wb") as out:
        child = subprocess.Popen(command, env={**os.environ, **environment}, stdout=out, stderr=out, cwd=log.parent)
    try:
        end = time.monotonic() + 90
        while not ready():
            if child.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{command[0]} did not come up:\n{log.read_text()[-3000:]}")
            time.sleep(0.1)
        yield
    finally:
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A SeaweedFS with the flags that make it safe."""
    folder = tmp_path_factory.mktemp("weed")
    folder.chmod(0o700)
    names = ("s3", "master", "volume", "filer", "admin")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    here = S3(f"http://127.0.0.1:{ports['s3']}", secrets.token_hex(8), secrets.token_hex(16))
    command = [str(BIN / "weed"), "mini", f"-dir={folder}", *[f"-{name}.port={port}" for name, port in ports.items()]]
    command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-disableHttp", "-master.telemetry=false", "-webdav=false"]
    command += ["-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"]
    command += ["-s3.allowDeleteBucketNotEmpty=false"]

    def ready() -> bool:
        with pytest.MonkeyPatch.context() as patch:
            set_environment(patch, here)
            try:
                return Store.from_environment("ingot", "health/").create(secrets.token_hex(4), b"up")
            except UnavailableError:
                return False

    keys = {"AWS_ACCESS_KEY_ID": here.access_key, "AWS_SECRET_ACCESS_KEY": here.secret_key, "S3_BUCKET": "ingot"}
    with running(command, keys, folder / "weed.log", ready):
        yield here


def set_environment(patch: pytest.MonkeyPatch, s3: S3) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION", "INGOT_BUCKET"):
        patch.delenv(name, raising=False)
    for name, value in s3.environment().items():
        patch.setenv(name, value)


@pytest.fixture
def store(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A part of the bucket that no other test uses."""
    set_environment(monkeypatch, s3)
    return Store.from_environment("ingot", f"{secrets.token_hex(6)}/")


@pytest.fixture(scope="session")
def mlflow_server(s3: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An MLflow server with its artifacts in the store; its address."""
    folder = tmp_path_factory.mktemp("mlflow")
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}", "--workers=1"]
    command += [f"--backend-store-uri=sqlite:///{folder}/mlflow.db", "--artifacts-destination=s3://ingot/mlflow"]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    safe = {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}

    def ready() -> bool:
        try:
            with urlopen(f"{address}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    with running(command, {**quiet, **safe, **s3.environment()}, folder / "mlflow.log", ready):
        yield address


@pytest.fixture
def mlflow_address(mlflow_server: str, s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """The MLflow server, named by the environment; the client holds no key to the store."""
    for name in s3.environment():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    return mlflow_server
