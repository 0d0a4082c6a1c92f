"""Run by the interpreter of LiteRT's environment, never imported by ours: nothing of Ingot is installed there.

Reads `program.pt2`, `network.onnx`, `rows.npy` and `job.json` from the folder in its first argument, writes
`model.tflite` and `logits.npy` there, and `latency.json` last. What goes wrong is one line in `failure.txt`.
`runtime/latency.py` is borrowed by its path, since it needs numpy alone: one clock for all formats.
"""

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


class Interpreted:
    """A `.tflite` file, ready to run on one row at a time."""

    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        (self._input,), (self._output,) = self._interpreter.get_input_details(), self._interpreter.get_output_details()

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """`encoded` (1, ...) to `logits` (1, K)."""
        self._interpreter.set_tensor(self._input["index"], inputs["encoded"].astype(self._input["dtype"], copy=False))
        self._interpreter.invoke()
        return {"logits": self._interpreter.get_tensor(self._output["index"])}


class OnnxSession:
    """The ONNX network, to be timed in turns with it."""

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """`encoded` (N, ...) to `logits` (N, K)."""
        return {"logits": self._session.run(["logits"], dict(inputs))[0]}


def work(folder: Path) -> None:
    """Convert, answer every row, take the time."""
    job = json.loads((folder / "job.json").read_text())
    rows = np.load(folder / "rows.npy")
    convert(folder, rows[:1], job["threads"])
    tflite = Interpreted(folder / "model.tflite", job["threads"])
    logits = [tflite.run({"encoded": rows[i : i + 1]})["logits"] for i in range(len(rows))]
    np.save(folder / "logits.npy", np.concatenate(logits))
    sessions = {"litert": tflite, "onnx": OnnxSession(folder / "network.onnx", job["threads"])}
    times = borrowed(Path(job["latency"])).interleaved(sessions, {"encoded": rows[:1]})
    figures = {name: {"p50_ms": t.p50_ms, "p95_ms": t.p95_ms, "runs": t.runs} for name, t in times.items()}
    (folder / "latency.json").write_text(json.dumps(figures))


def convert(folder: Path, row: np.ndarray, threads: int) -> None:
    """The traced program as a `.tflite` file for one row."""
    import litert_torch
    import torch

    torch.set_num_threads(threads)
    module = torch.export.load(folder / "program.pt2").module()
    litert_torch.convert(module, (torch.from_numpy(row),)).export(str(folder / "model.tflite"))


def borrowed(path: Path) -> Any:
    """A module of Ingot that needs nothing but numpy."""
    spec = importlib.util.spec_from_file_location("borrowed_latency", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main(folder: Path) -> int:
    """The exit code; the edge of the process, where every failure becomes one line."""
    try:
        work(folder)
    except Exception as error:  # noqa: BLE001
        (folder / "failure.txt").write_text(" ".join(f"{type(error).__name__}: {error}".split())[:300])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
