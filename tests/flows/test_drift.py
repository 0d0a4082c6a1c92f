import subprocess
import sys

from flows.drift import drift


def test_the_flow_is_a_form_with_help_under_every_field():
    schema = drift.parameters.model_dump()
    (form,) = (found for found in schema["definitions"].values() if "min_psi" in found["properties"])
    assert all(field["description"] for field in form["properties"].values())
    assert "config" not in schema["required"]
    assert drift.flow_run_name == "drift-{config.model_name}"


def test_loading_the_flow_loads_nothing_heavy():
    heavy = ("torch", "mlflow", "onnxruntime", "scipy", "matplotlib", "pandas")
    code = f"import sys, flows.drift; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
