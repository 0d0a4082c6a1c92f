import json
import subprocess
import sys

SCRIPT = """
import json, pkgutil, sys
import deployments.serving
for found in pkgutil.walk_packages(deployments.serving.__path__, "deployments.serving."):
    __import__(found.name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
HEAVY = {
    "torch",
    "prefect",
    "mlflow",
    "fastapi",
    "onnx",
    "pandas",
    "pyarrow",
    "sklearn",
    "scipy",
    "matplotlib",
    "safetensors",
    # which load pickles
    "cloudpickle",
    "dill",
    "joblib",
}


def test_the_serving_process_imports_neither_torch_nor_prefect_nor_mlflow():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    imported = set(json.loads(done.stdout))
    assert {"uvicorn", "onnxruntime", "orjson", "boto3"} <= imported
    assert imported & HEAVY == set()
    assert "markdown_it" not in imported  # only a page with a card needs it
