import subprocess
import sys

import pytest

from flows.promote import promote_version
from flows.reconcile import reconcile
from tasks.contracts.agreement import Agreement, Finding
from tasks.contracts.errors import IntegrityError
from tasks.exporters.agreement_report import markdown, summary, unmended

PUT_BACK = Finding(kind="alias", version="1", found="alias means 2|3", done="follows again")
LEFT = Finding(kind="broken", found="entry 2 is missing", done="nothing was changed", mended=False)


def test_promoting_by_hand_is_a_form_with_help():
    schema = promote_version.parameters.model_dump()
    assert list(schema["properties"]) == ["model_name", "version", "reason", "only_if_better"]
    assert schema["required"] == ["model_name", "version"]
    assert all(field["description"] for field in schema["properties"].values())
    assert schema["properties"]["only_if_better"]["default"] is True


def test_the_reconciler_takes_all_models_unless_one_is_named():
    schema = reconcile.parameters.model_dump()
    assert schema["properties"]["model_name"]["default"] == ""
    assert "every model" in schema["properties"]["model_name"]["description"]


@pytest.mark.parametrize("flow", ["promote", "reconcile"])
def test_loading_the_flow_loads_neither_torch_nor_mlflow(flow):
    code = f"import sys, flows.{flow}; print([m for m in ('torch', 'mlflow', 'onnxruntime') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_report_tells_what_was_found_and_what_became_of_it():
    agreements = [Agreement(model="digits", champion="1", seq=2, findings=(PUT_BACK,)), Agreement(model="odd")]
    assert summary(agreements) == "2 models: 1 found, 1 settled, 0 left to do"
    assert "| digits | 1 | alias | alias means 2/3 | follows again |" in markdown(agreements)
    assert markdown(agreements).endswith("Champions: digits 1 (entry 2)")
    unmended(agreements)


def test_what_is_left_to_do_fails_the_flow_by_name():
    agreements = [Agreement(model="a", findings=(PUT_BACK,)), Agreement(model="b", findings=(LEFT, LEFT))]
    assert summary(agreements) == "2 models: 3 found, 1 settled, 2 left to do"
    with pytest.raises(IntegrityError, match="model 'b': entry 2 is missing: nothing was changed; 1 more in the"):
        unmended(agreements)
