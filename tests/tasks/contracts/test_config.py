import json

import pytest
from pydantic import BaseModel, ValidationError

from tasks.contracts import config
from tasks.contracts.config import EvaluateConfig, IngestConfig, PruneConfig, QuantizeConfig, RetrainConfig, TrainConfig

FORMS = [
    form
    for form in vars(config).values()
    if isinstance(form, type) and issubclass(form, config.Form) and form is not config.Form
]


def test_the_schema_of_the_form_is_the_one_users_know(snapshot):
    snapshot("retrain_config.json", json.dumps(RetrainConfig.model_json_schema(), indent=1) + "\n")


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_field_has_a_sentence_and_a_default(form: type[BaseModel]):
    for name, field in form.model_fields.items():
        assert field.description and field.description.endswith("."), f"{form.__name__}.{name} has no help text"
        assert not field.is_required(), f"{form.__name__}.{name} has no default"


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_forms_stay_flat_enough_for_the_prefect_form(form: type[BaseModel]):
    schema = json.dumps(form.model_json_schema())
    assert '"oneOf"' not in schema
    assert schema.count('"additionalProperties": true') == 0


def test_unknown_fields_are_refused():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        RetrainConfig.model_validate({"train": {"epoch": 3}})


def test_a_form_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        RetrainConfig().seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("form", "values", "words"),
    [
        (PruneConfig, {"ratios": (0.5, 1.0)}, r"ratios\[1\] is 1.0, but must lie in \(0, 1\): 0.9 removes nine"),
        (PruneConfig, {"ratios": (0.5, 0.5)}, "must not repeat"),
        (QuantizeConfig, {"schemes": ("static",)}, "must hold 'none': fp32 is what the others are held against"),
        (QuantizeConfig, {"schemes": ("none", "none")}, "must not repeat"),
        (TrainConfig, {"family": "custom"}, "family custom needs 'package.module:function'"),
        (TrainConfig, {"workers": 4}, "workers is 4, but engine local is one process: set engine to torchrun"),
        (IngestConfig, {"validation_share": 0.6, "test_share": 0.4}, r"is 1, but must be below 1: rows to train on"),
        (IngestConfig, {"split_by": "time"}, "time_column is empty, but split_by=time needs one"),
        (TrainConfig, {"learning_rate": float("nan")}, "finite number"),
        (EvaluateConfig, {"max_drop": float("inf")}, "finite number"),
        (RetrainConfig, {"model_name": "../digits"}, "pattern"),
    ],
)
def test_refuses_what_cannot_be_meant(form, values, words):
    with pytest.raises(ValidationError, match=words):
        form(**values)
