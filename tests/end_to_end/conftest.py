"""The real stack, once for all end-to-end tests: random ports, a home of its own, ended at the end."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from torch import nn

from deployments.local.environment import addresses_of, client_environment
from deployments.local.ports import is_free
from deployments.local.settings import GRPC_OFFSET, Settings
from deployments.local.state import Addresses
from tasks.exporters.onnx_graph import export_network
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store

ROOT = Path(__file__).parents[2]
OF_OTHERS = (
    "PREFECT_API_URL", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "INGOT_SIGNING_KEY",
)  # fmt: skip


@dataclass(frozen=True)
class Stack:
    """A stack, and the `ingot` command pointed to it."""

    home: Path
    ports: dict[str, str]
    """INGOT_HOME and the INGOT_*_PORT variables that place it."""
    root: Path = ROOT
    """Where commands are run."""
    variables: dict[str, str] = field(default_factory=dict)

    def ingot(
        self, *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 300
    ) -> "subprocess.CompletedProcess[str]":
        """Run the command; `environment` is laid over this stack's."""
        return subprocess.run(
            command(*arguments),
            cwd=self.root,
            env=self.base | dict(environment or {}),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def run(
        self, *arguments: str, code: int = 0, environment: Mapping[str, str] | None = None, timeout: float = 900
    ) -> dict[str, Any]:
        """`ingot run ... --json`, which must end with `code`: its JSON object."""
        done = self.ingot("run", *arguments, "--json", environment=environment, timeout=timeout)
        assert done.returncode == code, done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def python(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """A program of the user's own, which must succeed; it reaches the stack by the libraries' own variables."""
        done = subprocess.run(
            [sys.executable, "-W", "ignore", *arguments],
            cwd=self.root, env=self.base | self.environment, input=stdin, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done

    def mlflow(self) -> MlflowClient:
        """MLflow as a reviewer's program sees it."""
        return MlflowClient(self.addresses.mlflow_tracking_uri)

    def journal(self, model: str) -> Journal:
        """The journal of a model."""
        before = dict(os.environ)
        os.environ.update(self.environment)
        try:
            return Journal(Store.from_environment(), model)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def graph(self, run: dict[str, Any], folder: Path) -> Path:
        """The ONNX file that a run published."""
        journal = self.journal(run["model"])
        (file,) = (f for f in journal.get_manifest(run["manifest_sha256"]).files if f.path == "model.onnx")
        return journal.store.fetch(file.artifact, folder / "model.onnx")

    def status(self) -> dict[str, Any]:
        """`ingot status --json`."""
        found: dict[str, Any] = json.loads(self.ingot("status", "--json").stdout.splitlines()[-1])
        return found

    @property
    def base(self) -> dict[str, str]:
        """The environment of a user who has set nothing but where the stack is."""
        mine = {name: value for name, value in os.environ.items() if name not in OF_OTHERS}
        return mine | {"OMP_NUM_THREADS": "1"} | self.ports | self.variables

    @property
    def settings(self) -> Settings:
        """The settings that belong to it."""
        ports = {name.removeprefix("INGOT_").lower(): value for name, value in self.ports.items()}
        return Settings.model_validate(ports | dict.fromkeys((*OF_OTHERS[:3], "signing_key"), ""))

    @property
    def addresses(self) -> Addresses:
        """Where it answers."""
        return addresses_of(self.settings)

    @property
    def environment(self) -> dict[str, str]:
        """All that a program needs to reach it by the libraries' own variables, keys included."""
        return client_environment(self.settings, self.addresses)


def command(*arguments: str) -> list[str]:
    """The `ingot` command of this very environment."""
    return [str(Path(sys.executable).parent / "ingot"), *arguments]


def new_stack(home: Path) -> Stack:
    """A stack that is not started, on ports that are free now, below those that the system hands out."""
    while True:
        base = random.randrange(12_000, 21_000)
        own = range(base, base + 8)
        if all(map(is_free, own)) and all(is_free(port + GRPC_OFFSET) for port in own):
            break
    names = {"PREFECT": base + 5, "MLFLOW": base + 6, "S3": base, "SERVING": base + 7}
    ports = {f"INGOT_{name}_PORT": str(port) for name, port in names.items()}
    return Stack(home, {"INGOT_HOME": str(home)} | ports)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack that tests share: they may add to it, but neither stop it nor count on being alone."""
    shared = new_stack(tmp_path_factory.mktemp("stack") / "home")
    started = shared.ingot("up")
    assert started.returncode == 0, started.stderr
    yield shared
    ended = shared.ingot("down")
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of the user's own for digits, 64-512-512-10, raw pixels in and logits out."""
    table = pd.read_parquet(ROOT / "data/digits.parquet")
    rows = torch.tensor(table.drop(columns="label").to_numpy(np.float32))
    labels = torch.tensor(table["label"].to_numpy(np.int64))
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(rows / 16), labels).backward()
        optimizer.step()
    with torch.no_grad():
        network[0].weight /= 16  # so that it reads pixels as they are
    path = tmp_path_factory.mktemp("models") / "my digits.onnx"
    onnx.save(export_network(network.eval(), rows[:2].numpy(), 20), path)
    return path


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack for one test, which may do to it what it likes; not started."""
    own = new_stack(tmp_path / "home")
    yield own
    own.ingot("down")
