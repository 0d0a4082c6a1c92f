"""One door to ONNX Runtime: a graph is loaded once, then answers named tensors with named tensors.

A session is safe to call from several threads. Threads are counted and never spin: two models on two cores
would otherwise starve one another while they wait. Neither torch nor the onnx package is imported here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from tasks.contracts.errors import GraphError, IntegrityError, unknown_name
from tasks.contracts.signature import Datatype, Tensor

_DATATYPES: dict[str, Datatype] = {
    "tensor(float)": "FP32",
    "tensor(int64)": "INT64",
    "tensor(uint8)": "UINT8",
    "tensor(string)": "BYTES",
}
_NOT_A_MODEL: tuple[type[Exception], ...] = (native.InvalidProtobuf, native.NoModel, native.ModelLoaded)
# They have no common base but Exception, and the bindings raise two of Python's own.
NATIVE_ERRORS: tuple[type[Exception], ...] = (
    *(kind for kind in vars(native).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    RuntimeError,
    ValueError,
)
"""All that ONNX Runtime raises."""
_FATAL = 4


class Session:
    """A loaded graph, ready to run. Made by `load`."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._quiet = onnxruntime.RunOptions()
        self._quiet.log_severity_level = _FATAL
        self.inputs: tuple[Tensor, ...] = tuple(_tensor(node) for node in session.get_inputs())
        """What must go in; a free axis is written -1."""
        self.outputs: tuple[Tensor, ...] = tuple(_tensor(node) for node in session.get_outputs())
        """What comes out, in the graph's order."""
        self._output_names = [tensor.name for tensor in self.outputs]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answers a batch: tensor name to array in, tensor name to array out.

        Args:
            inputs: One array for each of `self.inputs`; strings as object arrays of str (or numpy's own str arrays).

        Raises:
            GraphError: If a tensor is missing, unknown, or not of the datatype or shape the graph asks for.
        """
        feed = {name: _as_fed(array) for name, array in inputs.items()}
        try:
            answers = self._session.run(self._output_names, feed, self._quiet)
        except NATIVE_ERRORS as error:
            raise GraphError(self._mend(feed) or f"the graph did not run: {_one_line(error)}") from error
        return dict(zip(self._output_names, answers, strict=True))

    def _mend(self, feed: Mapping[str, np.ndarray]) -> str:
        """The sentence for a wrong feed, or '' if the inputs look right."""
        known = {tensor.name: tensor for tensor in self.inputs}
        for name in feed:
            if name not in known:
                return unknown_name("input", name, known)
        for name, tensor in known.items():
            if name not in feed:
                return f"input {name!r} is missing, but the graph needs it: send {', '.join(known)}"
            if not _fits(feed[name].shape, tensor.shape):
                return (
                    f"input {name!r} has shape {list(feed[name].shape)}, but must have {list(tensor.shape)}: "
                    "-1 stands for any number of rows"
                )
        return ""


def load(model: Path | str | bytes, threads: int = 1) -> Session:
    """Loads a graph from a file or from its bytes, for the CPU.

    Args:
        model: A path, or the serialized graph itself.
        threads: How many threads one operator may use.

    Raises:
        IntegrityError: If the file is absent or is no ONNX graph.
        GraphError: If ONNX Runtime cannot run the graph.
    """
    name = "the graph" if isinstance(model, bytes) else str(model)
    try:
        session = onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            sess_options=options(threads),
            providers=["CPUExecutionProvider"],
        )
    except native.NoSuchFile as error:
        raise IntegrityError(f"{name} is missing, but must be an ONNX file: fetch it again") from error
    except NATIVE_ERRORS as error:
        message = _one_line(error)
        if isinstance(error, _NOT_A_MODEL) or "No graph was found" in message:
            raise IntegrityError(f"{name} is no ONNX graph: fetch it again ({message})") from error
        raise GraphError(f"{name} cannot be loaded by ONNX Runtime {onnxruntime.__version__}: {message}") from error
    return Session(session)


def options(threads: int) -> Any:
    """How a graph is loaded here: for `threads` threads that never spin, fully optimized, silent."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    onnxruntime.disable_telemetry_events()
    return options


def _tensor(node: Any) -> Tensor:
    if node.type not in _DATATYPES:
        raise GraphError(
            f"tensor {node.name!r} is of type {node.type}, but must be one of {', '.join(sorted(_DATATYPES))}"
        )
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    return Tensor(name=node.name, datatype=_DATATYPES[node.type], shape=shape)


def _as_fed(array: np.ndarray) -> np.ndarray:
    return array.astype(object) if array.dtype.kind == "U" else array


def _fits(shape: tuple[int, ...], asked: tuple[int, ...]) -> bool:
    return len(shape) == len(asked) and all(want in (-1, have) for have, want in zip(shape, asked, strict=True))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]
