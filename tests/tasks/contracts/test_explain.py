from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from tasks.contracts.config import RetrainConfig
from tasks.contracts.explain import dotted, explain


def sentence(content: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        RetrainConfig.model_validate(content)
    return explain(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            {"train": {"epochs": 0}},
            "train.epochs is 0, but must be greater than 0: most passes over the training split",
        ),
        (
            {"seed": -1},
            "seed is -1, but must be greater than or equal to 0: makes weights, batches and calibration repeatable",
        ),
        ({"seed": 2**40}, "seed is 1099511627776, but must be less than 4294967296"),
        ({"train": {"epochs": "many"}}, "train.epochs is 'many', but must be a valid integer: most passes"),
        ({"train": {"epochs": 1.5}}, "train.epochs is 1.5, but must be a valid integer: most passes"),
        ({"train": {"learning_rate": float("nan")}}, "train.learning_rate is nan, but must be a finite number"),
        ({"train": {"family": "mpl"}}, "train.family is 'mpl', but must be one of linear, mlp, cnn"),
        ({"train": {"family": "mpl"}}, "did you mean 'mlp'?"),
        ({"quantize": {"schemes": ["none", 7]}}, "quantize.schemes[1] is 7, but must be one of none, dynamic, static"),
        (
            {"train": {"epoch": 3}},
            "field 'train.epoch' does not exist: did you mean 'train.epochs'? known: train.batch",
        ),
        ({"trian": {}}, "field 'trian' does not exist: did you mean 'train'? known: evaluate, export"),
        ({"train": 3}, "train is 3, but must be a group of fields of TrainConfig: which network is trained"),
        ({"prune": {"ratios": [0.2, 1.0]}}, "prune.ratios[1] is 1.0, but must lie in (0, 1): 0.9 removes nine"),
        ({"prune": {"ratios": 0.5}}, "prune.ratios is 0.5, but must be a list: shares of channels"),
        ({"train": {"hidden_sizes": [64, 0]}}, "train.hidden_sizes[1] is 0, but must be greater than 0: width"),
        (
            {"ingest": {"validation_share": 0.6, "test_share": 0.6}},
            "ingest.validation_share + test_share is 1.2, but must be below 1",
        ),
        ({"train": {"family": "custom"}}, "train.import_path is '', but family custom needs 'package.module:function'"),
        ({"ingest": {"source": ""}}, "ingest.source is '', but must have at least 1 character: a path, s3:// or"),
        ({"model_name": "Bad Name"}, "model_name is 'Bad Name', but must match pattern '^[a-z0-9]"),
        ({"prune": {"distill": "perhaps"}}, "prune.distill is 'perhaps', but must be a valid boolean"),
        ({"seed": None}, "seed is None, but must be a valid integer"),
        ([1], "the form is [1], but must be a group of fields of RetrainConfig"),
    ],
)
def test_says_which_field_is_wrong_and_what_it_must_be(content, words):
    assert words in sentence(content)


def test_names_the_other_wrong_fields_once():
    found = sentence({"seed": -1, "train": {"epochs": 0, "batch_size": -1}})
    assert found.startswith("seed is -1")
    assert found.endswith("(wrong as well: train.epochs, train.batch_size)")


def test_a_missing_field_is_called_missing():
    class Form(BaseModel):
        name: str

    with pytest.raises(ValidationError) as caught:
        Form.model_validate({})
    assert explain(caught.value) == "name is missing, but must be given"


def test_a_field_is_spelt_as_the_user_writes_it():
    with pytest.raises(ValidationError) as caught:
        RetrainConfig.model_validate({"seed": -1})
    assert explain(caught.value, spell=str.upper).startswith("SEED is -1")


@given(st.text(max_size=200))
def test_is_one_line_of_bounded_length_whatever_the_value(value):
    found = sentence({"seed": f"x{value}", "train": {"family": f"x{value}", "epochs": f"x{value}"}})
    assert len(found.splitlines()) == 1
    assert len(found) < 400


def test_a_place_is_written_with_dots_and_brackets():
    assert dotted(("a", "b", 3, "c")) == "a.b[3].c"
    assert dotted(()) == ""
