"""NNCF post-training quantization by its defaults."""

import sys
from pathlib import Path

import nncf
import numpy as np
import onnx

network, rows, folder = onnx.load(sys.argv[1]), np.load(sys.argv[2]), Path(sys.argv[3])
name = network.graph.input[0].name
quantized = nncf.quantize(network, nncf.Dataset([{name: row[None]} for row in rows]))
onnx.save(quantized, folder / "ptq.onnx")
