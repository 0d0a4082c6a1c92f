"""`onnxruntime.quantization` by its defaults: dynamic, and static after its own preparation."""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class Rows(CalibrationDataReader):
    """One row a call, as its examples do."""

    def __init__(self, name: str, rows: np.ndarray) -> None:
        self.feeds = iter([{name: row[None]} for row in rows])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next row."""
        return next(self.feeds, None)


network, rows, folder = Path(sys.argv[1]), np.load(sys.argv[2]), Path(sys.argv[3])
name = onnx.load(network).graph.input[0].name
prepared = folder / "prepared"
quant_pre_process(str(network), str(prepared))
quantize_dynamic(prepared, folder / "dynamic.onnx")
quantize_static(prepared, folder / "static.onnx", Rows(name, rows))
prepared.unlink()
