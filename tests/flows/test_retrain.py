import subprocess
import sys

from flows.retrain import retrain
from flows.tracked_run import flattened
from tasks.contracts.config import RetrainConfig


def test_the_parameter_of_the_flow_is_the_form():
    schema = retrain.parameters.model_dump()
    assert list(schema["properties"]) == ["config"]
    assert "RetrainConfig" in schema["definitions"]
    train = schema["definitions"]["TrainConfig"]["properties"]
    assert train["epochs"]["description"] == "Most passes over the training split."


def test_loading_the_flow_loads_neither_torch_nor_mlflow():
    code = "import sys, flows.retrain; print([m for m in ('torch', 'mlflow', 'onnxruntime') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_flattened_form_names_every_field_once():
    flat = flattened(RetrainConfig())
    assert flat["train.epochs"] == "40" and flat["seed"] == "0" and flat["prune.ratios"] == "[0.25, 0.5]"
    assert not any(isinstance(value, dict) for value in flat.values())
