import pytest

from tasks.contracts.errors import ConfigError
from tasks.runtime.vetting import allowed_operators


def test_the_shipped_list_holds_what_we_export_and_nothing_that_may_run_for_ever():
    shipped = allowed_operators({})
    assert {"ai.onnx::Gemm", "ai.onnx.ml::LabelEncoder", "com.microsoft::MatMulNBits", "ai.onnx::If"} <= shipped
    assert not {"ai.onnx::Loop", "ai.onnx::Scan", "ai.onnx::RandomNormal", "com.microsoft::PyOp"} & shipped


def test_every_name_of_the_standard_is_spelt_as_the_standard_spells_it():
    import onnx

    standard = {f"{schema.domain or 'ai.onnx'}::{schema.name}" for schema in onnx.defs.get_all_schemas()}
    assert {name for name in allowed_operators({}) if not name.startswith("com.microsoft::")} <= standard


def test_a_site_adds_its_own():
    added = allowed_operators({"INGOT_ALLOWED_OPERATORS": "::Loop, my.domain::Op,"}) - allowed_operators({})
    assert added == {"ai.onnx::Loop", "my.domain::Op"}


@pytest.mark.parametrize("text", ["Loop", "a::", "a b::C", "my.domain:Op", "*::*"])
def test_refuses_an_entry_that_names_no_operator(text):
    with pytest.raises(ConfigError, match="INGOT_ALLOWED_OPERATORS names .* domain::Operator"):
        allowed_operators({"INGOT_ALLOWED_OPERATORS": text})
