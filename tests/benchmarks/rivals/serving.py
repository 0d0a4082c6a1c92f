"""Ingot and the others as servers of the same graph, each in its own protocol and in its fastest sound setting."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from load.clients import Ask
from load.machine import free_port

from rivals.environment import python_of

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
NAME = "mlp"


@dataclass(frozen=True)
class Server:
    """How a server is made, started and asked."""

    name: str
    requirements: tuple[str, ...]
    """For pip; none takes the environment of Ingot itself."""
    command: Callable[[Path, Path, int], list[str]]
    """From the interpreter, a folder of its own and a port; the graph lies in the folder as `model.onnx`."""
    ready: str
    """Path that answers 200 once the model is loaded."""
    path: str
    body: Callable[[np.ndarray], dict[str, Any]]
    """From rows to what is sent."""
    marker: str
    """Stands in a right answer; `{}` is the label."""
    label_of: Callable[[dict[str, Any]], int]
    environment: Mapping[str, str] | None = None

    def python(self) -> Path:
        """The interpreter of its environment; made if it is not there."""
        return python_of(self.name, self.requirements) if self.requirements else Path(sys.executable)

    def ask(self, row: np.ndarray, label: int, headers: tuple[tuple[str, str], ...] = ()) -> Ask:
        """One row."""
        body = json.dumps(self.body(row[None]), separators=(",", ":")).encode()
        return Ask(self.path, body, self.marker.format(label).encode(), headers)


def _written(row: np.ndarray) -> list[float]:
    """The same five digits for all."""
    return [round(float(value), 5) for value in row]


def _v2(rows: np.ndarray) -> dict[str, Any]:
    data = [value for row in rows for value in _written(row)]
    return {"inputs": [{"name": "features", "shape": list(rows.shape), "datatype": "FP32", "data": data}]}


def _nested(key: str) -> Callable[[np.ndarray], dict[str, Any]]:
    return lambda rows: {key: [_written(row) for row in rows]}


def _output(answer: dict[str, Any]) -> int:
    return next(each["data"][0] for each in answer["outputs"] if each["name"] == "label")


def _ingot(python: Path, folder: Path, port: int) -> list[str]:
    return [str(python), "-m", "deployments.serving", NAME]


def _stock_mlserver(python: Path, folder: Path, port: int, **more: Any) -> list[str]:
    """As it comes: a pool of one worker that every request is pickled to."""
    ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    settings = {"host": "127.0.0.1", **ports, **more}
    model = {"name": NAME, "implementation": "mlserver_runtime.Onnx", "parameters": {"uri": str(folder / "model.onnx")}}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    (folder / "mlserver_runtime.py").write_text((HERE / "mlserver_runtime.py").read_text())
    return [str(python.parent / "mlserver"), "start", str(folder)]


def _mlserver(python: Path, folder: Path, port: int) -> list[str]:
    """The fastest we know: no pool, no gzip, nothing logged."""
    return _stock_mlserver(python, folder, port, debug=False, parallel_workers=0, gzip_enabled=False)


def _mlflow(python: Path, folder: Path, port: int) -> list[str]:
    model = folder / "pyfunc"
    save = [str(python), str(HERE / "mlflow_model.py"), str(folder / "model.onnx"), str(model), "784"]
    if not model.exists():
        subprocess.run(save, check=True, capture_output=True, cwd=folder)
    how = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return [str(python), "-m", "mlflow", "models", "serve", "--model-uri", str(model), *how]


def _fastapi(python: Path, folder: Path, port: int) -> list[str]:
    how = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--host", "127.0.0.1", "--port", str(port)]
    return [str(python), "-m", "uvicorn", "--app-dir", str(HERE), "fastapi_app:app", *how]


INGOT = Server(
    "ingot",
    (),
    _ingot,
    "/v2/health/ready",
    f"/v2/models/{NAME}/infer",
    _v2,
    '"data":[{}]',
    _output,
)
# httptools is not asked for by MLServer, but makes its uvicorn faster.
MLSERVER = Server(
    "mlserver",
    ("mlserver==1.7.1 onnxruntime==1.31.1 httptools==0.9.0 fastapi==0.115.14 pydantic==2.14.4 uvicorn==0.54.0",),
    _mlserver,
    f"/v2/models/{NAME}/ready",
    f"/v2/models/{NAME}/infer",
    _v2,
    '"data":[{}]',
    _output,
)
STOCK_MLSERVER = replace(
    MLSERVER,
    name="mlserver-stock",
    # Its pool finds no event loop under uvloop 0.22 and later.
    requirements=(MLSERVER.requirements[0].replace("httptools==0.9.0", "uvloop==0.21.0"),),
    command=_stock_mlserver,
)
MLFLOW = Server(
    "mlflow",
    (
        "mlflow==3.17.2 onnx==1.23.2 onnxruntime==1.31.1",
        "fastapi==0.150.0 uvicorn==0.54.0 uvloop==0.23.0 httptools==0.9.0",
    ),
    _mlflow,
    "/ping",
    "/invocations",
    _nested("inputs"),
    '"label": [{}]',
    lambda answer: answer["predictions"]["label"][0],
)
FASTAPI = Server(
    "fastapi",
    ("fastapi==0.150.0 pydantic==2.14.4 uvicorn==0.54.0 uvloop==0.23.0 httptools==0.9.0 onnxruntime==1.31.1",),
    _fastapi,
    "/health",
    "/predict",
    _nested("features"),
    '"label":[{}]',
    lambda answer: answer["label"][0],
)
SERVERS: Sequence[Server] = (INGOT, MLSERVER, STOCK_MLSERVER, MLFLOW, FASTAPI)
