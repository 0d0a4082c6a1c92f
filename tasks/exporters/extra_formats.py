"""The winner in other formats, each held against what it was made from, and measured like a candidate.

openvino answers like the ONNX file, quantized or not. litert answers like the torch network, whose floats it keeps.
A format that cannot be made, or answers otherwise, is refused in its row: the ONNX file is published all the same.
"""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from torch import nn

from tasks.contracts.artifacts import Artifact, Candidate
from tasks.contracts.errors import ConfigError, GraphError
from tasks.contracts.schema import Encoding, Schema
from tasks.contracts.signature import signature_of
from tasks.contracts.verdict import ExtraFormat
from tasks.datasets.preprocessing import encode
from tasks.exporters import litert_environment, litert_file, openvino_ir
from tasks.exporters.network_part import network_of
from tasks.exporters.parity import Agreement, agreement, answers, torch_answers
from tasks.runtime.latency import Latency, Runs, interleaved
from tasks.runtime.session import load
from tasks.runtime.slices import run_in_slices

Format = Literal["openvino", "litert"]
LEAST_ALIKE = 0.99
"""Share of rows that must get the same class."""
MOST_APART = {"float": 1e-3, "int8": 0.25}
"""Of a probability, or of a value in units of the target's scale; two runtimes may round int8 to different steps."""


@dataclass(frozen=True)
class Winner:
    """What is converted, and the rows on which it is held against the result."""

    candidate: Candidate
    content: bytes
    """Its ONNX file."""
    module: nn.Module
    preprocessor: onnx.ModelProto
    schema: Schema
    encoding: Encoding
    inputs: Mapping[str, np.ndarray]
    """Raw rows."""
    threads: int = 1
    batch_size: int = 1

    @property
    def network(self) -> bytes:
        """From `encoded` to `logits`, as ONNX."""
        return network_of(self.content, self.preprocessor.graph.output[0])


@dataclass(frozen=True)
class _Conversion:
    files: dict[str, bytes]
    takes: Literal["rows", "encoded"]
    agreement: Agreement
    own: Latency
    onnx: Latency
    batch_size: int = 1


def require(formats: Sequence[Format]) -> None:
    """Refuses, before anything is trained, a format whose optional part is not installed.

    Raises:
        ConfigError: What is missing, and how to get it.
    """
    if "openvino" in formats and importlib.util.find_spec("openvino") is None:
        raise ConfigError(openvino_ir.NOT_INSTALLED)
    if "litert" in formats:
        litert_environment.interpreter()


def convert(winner: Winner, kind: Format, put: Callable[[bytes], Artifact]) -> ExtraFormat:
    """The row of one format; its files are stored unless it is refused.

    Args:
        winner: What to convert.
        kind: To what.
        put: Stores bytes.

    Raises:
        ConfigError: The optional part is not installed.
    """
    takes: Literal["rows", "encoded"] = "encoded" if kind == "litert" or _takes_strings(winner.schema) else "rows"
    row = ExtraFormat(name=f"{winner.candidate.name}+{kind}", format=kind, takes=takes)
    try:
        found = _to_litert(winner) if kind == "litert" else _to_openvino(winner, takes)
    except GraphError as error:
        return row.model_copy(update={"refused": str(error)})
    refused = _refusal(winner, kind, found.agreement)
    files = {} if refused else found.files
    if files and takes == "encoded":
        files = files | {"encoder.onnx": winner.preprocessor.SerializeToString(deterministic=True)}
    return row.model_copy(
        update={
            "files": {f"{kind}/{name}": put(content) for name, content in files.items()},
            "size_bytes": sum(map(len, found.files.values())),
            "p50_ms": found.own.p50_ms,
            "p95_ms": found.own.p95_ms,
            "onnx_p50_ms": found.onnx.p50_ms,
            "batch_size": found.batch_size,
            "parity": found.agreement.share,
            "largest_difference": found.agreement.largest_difference,
            "refused": refused,
        }
    )


def _to_openvino(winner: Winner, takes: Literal["rows", "encoded"]) -> _Conversion:
    whole = takes == "rows"
    graph = winner.content if whole else winner.network
    inputs = winner.inputs if whole else {"encoded": encode(winner.preprocessor, winner.inputs)}
    ir = openvino_ir.convert(graph)
    sessions: dict[str, Runs] = {"onnx": load(graph, winner.threads), "openvino": openvino_ir.load(ir, winner.threads)}
    outputs = {name: run_in_slices(session, inputs) for name, session in sessions.items()}
    if not whole:
        outputs = {name: _answers(winner, each["logits"]) for name, each in outputs.items()}
    rows = np.arange(winner.batch_size) % len(next(iter(inputs.values())))
    times = interleaved(sessions, {name: array[rows] for name, array in inputs.items()})
    return _Conversion(
        {"model.xml": ir.xml, "model.bin": ir.weights},
        takes,
        agreement(outputs["openvino"], outputs["onnx"], winner.encoding),
        times["openvino"],
        times["onnx"],
        winner.batch_size,
    )


def _to_litert(winner: Winner) -> _Conversion:
    encoded, loss = encode(winner.preprocessor, winner.inputs), winner.candidate.network.loss
    python = litert_environment.interpreter()
    made = litert_file.convert(winner.module, encoded, winner.network, python=python, threads=winner.threads)
    expected = torch_answers(winner.module, encoded, winner.schema, winner.encoding, loss)
    found = agreement(_answers(winner, made.logits), expected, winner.encoding)
    return _Conversion({"model.tflite": made.content}, "encoded", found, made.own, made.onnx)


def _answers(winner: Winner, logits: np.ndarray) -> dict[str, np.ndarray]:
    return answers(logits, winner.schema, winner.encoding, winner.candidate.network.loss)


def _takes_strings(schema: Schema) -> bool:
    return any(tensor.datatype == "BYTES" for tensor in signature_of(schema).inputs)


def _refusal(winner: Winner, kind: Format, found: Agreement) -> str:
    """The bound that the answers break, or ''."""
    model = "the torch network" if kind == "litert" else "its ONNX file"
    if winner.schema.labels and not found.share >= LEAST_ALIKE:
        return f"{kind} answers {found.share:.2%} of the rows like {model}, but must answer {LEAST_ALIKE:.0%}"
    most = MOST_APART["float" if kind == "litert" or winner.candidate.scheme == "none" else "int8"]
    if not found.largest_difference <= most:  # also where one side is not a number
        return f"{kind} is {found.largest_difference:.3g} from {model} at worst, but must stay within {most:g}"
    return ""
