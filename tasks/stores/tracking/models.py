"""The ONNX file as a model that MLflow's users can load: `mlflow.onnx` and `mlflow.pyfunc`, in their own program.

The folder is written here, and not by `mlflow.onnx.save_model`: that one writes the graph anew, so that its digest
changes, and looks through every installed package, which takes 1.2 s.
"""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tasks.contracts.signature import Datatype, Signature, Tensor
from tasks.stores.tracking.client import answered, client, silent

GRAPH = "model.onnx"
NEEDS = ("mlflow", "onnx", "onnxruntime", "numpy", "pandas")
DTYPES: dict[Datatype, str] = {"FP32": "float32", "INT64": "int64", "UINT8": "uint8", "BYTES": "object"}


@silent("")
def log_onnx_model(run_id: str, onnx_path: Path, signature: Signature, example: Mapping[str, Sequence[Any]]) -> str:
    """Logs a graph as a model of a run.

    Args:
        run_id: The run that made it.
        onnx_path: The graph; its bytes are kept as they are.
        signature: What goes in and comes out: inputs are dictionaries of arrays.
        example: A few rows, tensor name to nested lists.

    Returns:
        `models:/<model id>`, the source of a version.
    """
    mlflow = client()
    with answered(), TemporaryDirectory(prefix="ingot-") as folder:
        from mlflow.entities import LoggedModelOutput

        experiment = mlflow.get_experiment(mlflow.get_run(run_id).info.experiment_id)
        model = mlflow.create_logged_model(
            experiment.experiment_id, name=experiment.name, source_run_id=run_id, model_type="onnx"
        )
        _write(Path(folder), onnx_path, signature, example, _description(model, run_id))
        mlflow.log_model_artifacts(model.model_id, folder)
        mlflow.finalize_logged_model(model.model_id, "READY")
        mlflow.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    return f"models:/{model.model_id}"


def _description(model: Any, run_id: str) -> Any:
    from mlflow.models import Model

    return Model(
        artifact_path=model.artifact_location, model_uuid=model.model_id, model_id=model.model_id, run_id=run_id
    )


def _write(
    folder: Path, graph: Path, signature: Signature, example: Mapping[str, Sequence[Any]], description: Any
) -> None:
    """The files of an MLflow model; `MLmodel` last."""
    from mlflow import pyfunc

    shutil.copyfile(graph, folder / GRAPH)
    requirements = [f"{name}=={version(name)}" for name in NEEDS]
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n")
    python = ".".join(map(str, sys.version_info[:3]))
    (folder / "python_env.yaml").write_text(
        json.dumps({"python": python, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]})
    )
    (folder / "input_example.json").write_text(json.dumps(example))
    (folder / "serving_input_example.json").write_text(json.dumps({"inputs": example}))
    description.saved_input_example_info = {
        "artifact_path": "input_example.json",
        "serving_input_path": "serving_input_example.json",
        "type": "ndarray",
    }
    description.signature = _signature(signature)
    description.model_size_bytes = graph.stat().st_size
    description.add_flavor("onnx", onnx_version=version("onnx"), data=GRAPH, providers=["CPUExecutionProvider"])
    pyfunc.add_to_model(description, loader_module="mlflow.onnx", data=GRAPH, python_env="python_env.yaml")
    description.save(str(folder / "MLmodel"))


def _signature(signature: Signature) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

    return ModelSignature(
        inputs=Schema([_tensor(tensor) for tensor in signature.inputs]),
        outputs=Schema([_tensor(tensor) for tensor in signature.outputs]),
    )


def _tensor(tensor: Tensor) -> Any:
    import numpy as np
    from mlflow.types import TensorSpec

    return TensorSpec(np.dtype(DTYPES[tensor.datatype]), tensor.shape, tensor.name)
