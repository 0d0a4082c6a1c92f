"""The MLflow side: an ONNX graph as a pyfunc model with a tensor signature, which spares it the data frame."""

import sys

import mlflow.onnx
import numpy as np
import onnx
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

graph, folder, columns = sys.argv[1], sys.argv[2], int(sys.argv[3])
mlflow.onnx.save_model(
    onnx.load(graph),
    folder,
    signature=ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, columns), "features")])),
    pip_requirements=["onnxruntime"],
    onnx_execution_providers=["CPUExecutionProvider"],
    onnx_session_options={"execution_mode": "sequential", "intra_op_num_threads": 1, "inter_op_num_threads": 1},
    save_as_external_data=False,
)
