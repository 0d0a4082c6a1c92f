"""OpenVINO IR: a graph for Intel's own runtime, as `model.xml` (operators) and `model.bin` (weights).

OpenVINO has no operators on strings, so a graph that takes words is handed in as its network alone
(`network_part`). Two of its defaults would change the answers, and are turned off: saving rounds weights to fp16, and
a CPU with AMX reckons in bf16.
"""

import importlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.contracts.errors import ConfigError, GraphError

NOT_INSTALLED = (
    "export.extra_formats holds 'openvino', but the package openvino is not installed: "
    "pip install 'ingot[openvino]', or leave it out"
)


@dataclass(frozen=True)
class IR:
    """The two files of a converted graph."""

    xml: bytes
    weights: bytes


class Compiled:
    """A loaded IR: tensor name to array in, tensor name to array out. Made by `load`."""

    def __init__(self, model: Any) -> None:
        self._request = model.create_infer_request()
        self._outputs = [(output.get_any_name(), output) for output in model.outputs]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answers a batch.

        Raises:
            GraphError: If a tensor is unknown, or not of the type or shape the graph asks for.
        """
        try:
            answers = self._request.infer(dict(inputs))
        except (RuntimeError, ValueError, TypeError) as error:
            raise GraphError(f"the OpenVINO graph did not run: {_one_line(error)}") from error
        return {name: answers[output] for name, output in self._outputs}


def convert(graph: bytes) -> IR:
    """An ONNX graph as OpenVINO IR; the same graph gives the same bytes.

    Args:
        graph: Whole, or the network alone where the whole takes strings.

    Raises:
        ConfigError: OpenVINO is not installed.
        GraphError: OpenVINO lacks one of its operators.
    """
    openvino = _library()
    try:
        model = openvino.Core().read_model(graph)
    except RuntimeError as error:
        raise GraphError(f"the graph does not convert to OpenVINO IR: {_missing(error)}") from error
    with tempfile.TemporaryDirectory(prefix="ingot-openvino-") as folder:
        path = Path(folder) / "model.xml"
        openvino.save_model(model, path, compress_to_fp16=False)
        return IR(path.read_bytes(), path.with_suffix(".bin").read_bytes())


def load(ir: IR, threads: int = 1) -> Compiled:
    """Loads an IR for the CPU, in full float32.

    Args:
        ir: What `convert` gave.
        threads: How many threads one call may use.

    Raises:
        ConfigError: OpenVINO is not installed.
        GraphError: The files are no IR, or cannot be compiled.
    """
    openvino = _library()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    with tempfile.TemporaryDirectory(prefix="ingot-openvino-") as folder:
        path = Path(folder) / "model.xml"
        path.write_bytes(ir.xml)
        path.with_suffix(".bin").write_bytes(ir.weights)
        try:
            return Compiled(openvino.Core().compile_model(path, "CPU", settings))
        except RuntimeError as error:
            raise GraphError(f"the OpenVINO graph cannot be loaded: {_one_line(error)}") from error


def _library() -> Any:
    """OpenVINO, an optional extra."""
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise ConfigError(NOT_INSTALLED) from error


def _missing(error: RuntimeError) -> str:
    """The line of OpenVINO's report that names the operator."""
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    telling = [line for line in lines if "No conversion rule" in line or "not supported" in line.lower()]
    return (telling or [_one_line(error)])[0][:300]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
