"""LiteRT: the winning network as a `.tflite` file, for phones and boards.

Its converter lives in an environment of its own (`litert_environment`), so the work is done by a worker
(`litert_worker`) and everything travels as files. Two things to know: litert-torch 0.10 cannot leave the batch free, so
the file answers one row at a time; and it is made from the torch network, so its weights are floats whatever number
format won.
"""

import json
import os
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tasks.contracts.errors import GraphError
from tasks.contracts.record import canonical_json
from tasks.contracts.secrets import without_secrets
from tasks.exporters.adopted import brings_its_graph
from tasks.runtime import latency
from tasks.runtime.latency import Latency

WORKER = Path(__file__).with_name("litert_worker.py")
TIMEOUT_SECONDS = 1800


@dataclass(frozen=True)
class LiteRT:
    """A converted network, and how it did."""

    content: bytes
    """Of the `.tflite` file: `encoded` (1, ...) to logits (1, K), whole numbers as int32."""
    logits: np.ndarray
    """(N, K), its answers to the rows."""
    own: Latency
    onnx: Latency


def convert(module: nn.Module, rows: np.ndarray, network: bytes, *, python: Path, threads: int = 1) -> LiteRT:
    """Convert a network, ask it every row, and time it in turns with its ONNX file, one row a call.

    Args:
        module: In evaluation mode.
        rows: Encoded (N, ...), float32 or int64.
        network: The same network as ONNX, `encoded` to `logits`.
        python: The interpreter of LiteRT's environment.
        threads: While latency is measured.

    Raises:
        GraphError: The network cannot be traced or converted, or the worker died.
    """
    with tempfile.TemporaryDirectory(prefix="ingot-litert-") as name:
        folder = Path(name)
        torch.export.save(_traced(module, rows[:1]), folder / "program.pt2")
        (folder / "network.onnx").write_bytes(network)
        np.save(folder / "rows.npy", rows, allow_pickle=False)
        (folder / "job.json").write_bytes(canonical_json({"threads": threads, "latency": str(latency.__file__)}))
        _run(folder, python, threads)
        times = json.loads((folder / "latency.json").read_text())
        logits = np.load(folder / "logits.npy", allow_pickle=False)
        return LiteRT(
            (folder / "model.tflite").read_bytes(), logits, Latency(**times["litert"]), Latency(**times["onnx"])
        )


def _traced(module: nn.Module, row: np.ndarray) -> torch.export.ExportedProgram:
    if brings_its_graph(module):
        raise GraphError("the network came as an ONNX graph, but LiteRT converts torch networks: bring a .pt2 file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of recurrent cells, whose flat weights are set while tracing
            return torch.export.export(module, (torch.from_numpy(np.ascontiguousarray(row)),))
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise GraphError(f"the network cannot be traced for LiteRT: {reason}") from error


def _run(folder: Path, python: Path, threads: int) -> None:
    """The worker, apart from our paths (`-I`), quiet, and with as many threads as it may use."""
    environment = without_secrets(os.environ) | {
        "OMP_NUM_THREADS": str(threads),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "JAX_PLATFORMS": "cpu",
    }
    command = [str(python), "-I", str(WORKER), str(folder)]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise GraphError(f"LiteRT was not done after {TIMEOUT_SECONDS} s: leave litert out") from error
    if done.returncode:
        failure = folder / "failure.txt"
        said = failure.read_text() if failure.exists() else (done.stderr.strip().splitlines() or ["no word"])[-1][:300]
        raise GraphError(f"the network does not convert to LiteRT: {said}")
