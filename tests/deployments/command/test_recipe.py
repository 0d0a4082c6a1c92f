from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.command.recipe import compose, overlay, parse_assignment, read_parameters
from tasks.contracts.config import RetrainConfig
from tasks.contracts.errors import ConfigError


@pytest.fixture
def file(tmp_path):
    def write(text: str, name: str = "recipe.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def refusal(*arguments) -> str:
    with pytest.raises(ConfigError) as caught:
        compose(*arguments)
    return str(caught.value)


def test_a_deployment_brings_its_parameters():
    config = compose("diabetes", None, [])
    assert config.model_name == "diabetes"
    assert config.ingest.task == "regression"
    assert config.seed == 0


def test_fields_are_laid_over_a_deployment_one_by_one():
    config = compose("digits", None, ["train.epochs=3", "seed=7", "prune.ratios=[]", "train.learning_rate=1e-3"])
    assert (config.train.epochs, config.seed, config.prune.ratios, config.train.learning_rate) == (3, 7, (), 1e-3)
    assert config.train.batch_size == 64


def test_the_last_of_two_wins():
    assert compose("digits", None, ["seed=1", "seed=2"]).seed == 2


def test_a_file_alone_brings_its_own_model_name(file):
    config = compose("", file("model_name: housing\ntrain: {epochs: 2}"), [])
    assert config == RetrainConfig.model_validate({"model_name": "housing", "train": {"epochs": 2}})


def test_a_file_is_laid_over_a_deployment_and_fields_over_both(file):
    path = file('{"train": {"epochs": 2, "l2": 0.5}}', "recipe.json")
    config = compose("diabetes", path, ["train.l2=0.25"])
    assert (config.model_name, config.train.epochs, config.train.l2) == ("diabetes", 2, 0.25)
    assert config.train.hidden_sizes == (32, 16)


def test_an_unknown_deployment_is_refused_by_name():
    assert refusal("digit", None, []) == (
        "deployment 'digit' does not exist: did you mean 'digits'? known: diabetes, digits, messages"
    )


@pytest.mark.parametrize(
    ("name", "command"), [("reconcile", "registry reconcile"), ("promote", "promote"), ("drift", "drift NAME")]
)
def test_a_deployment_that_retrains_nothing_is_refused_with_the_command_that_does_it(name, command):
    assert refusal(name, None, []) == (
        f"deployment '{name}' retrains nothing, but `ingot run` needs one that does: start it in the Prefect UI, or "
        f"run `ingot {command}`; known: digits, diabetes, messages"
    )


def test_a_missing_name_lists_the_known_ones():
    assert refusal("", None, []).startswith("NAME is missing, but must be a deployment, or come with --params: known: ")


def test_an_unknown_field_is_refused_with_its_neighbour():
    assert refusal("digits", None, ["train.epoch=3"]).startswith(
        "field 'train.epoch' does not exist: did you mean 'train.epochs'?"
    )


def test_a_wrong_value_is_refused_with_its_rule():
    assert refusal("digits", None, ["train.epochs=0"]).startswith("train.epochs is 0, but must be greater than 0")


def test_a_wrong_value_in_a_file_names_the_file(file):
    path = file("train: {epochs: none}")
    assert refusal("", path, []).startswith(f"{path}: train.epochs is 'none', but must be a valid integer")


@pytest.mark.parametrize("text", ["train.epochs", "=3", "train..epochs=3", ".=1"])
def test_what_is_no_assignment_is_refused(text):
    assert refusal("digits", None, [text]).startswith(f"--set is {text!r}, but must be FIELD=VALUE")


def test_a_value_that_yaml_cannot_read_is_refused():
    assert refusal("digits", None, ["model_name={"]).startswith("model_name is '{', but must be a value as YAML")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- 1", "must hold fields such as `model_name: digits`: it holds [1]"),
        ("", "must hold fields"),
        ("a: [", "must hold YAML or JSON: "),
    ],
)
def test_a_file_without_fields_is_refused(file, text, words):
    assert words in refusal("", file(text), [])


def test_a_file_that_is_not_there_is_refused(tmp_path):
    assert refusal("", tmp_path / "no.yaml", []).endswith(
        "no.yaml, but must be a readable file: No such file or directory"
    )
    assert "Is a directory" in refusal("", tmp_path, [])


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "recipe.yaml").write_bytes(b"\xff\xfe\x00")
    assert "must hold YAML or JSON" in refusal("", tmp_path / "recipe.yaml", [])


def test_json_is_read_as_json(file):
    assert read_parameters(file('{"seed": 1}', "a.json")) == {"seed": 1}


names = st.text("abc", min_size=1, max_size=2)
trees = st.recursive(st.integers(), lambda below: st.dictionaries(names, below, max_size=3), max_leaves=8)
fields = st.dictionaries(names, trees, max_size=3)


@given(fields, fields)
def test_laying_over_keeps_both_and_prefers_the_upper(below, above):
    merged = overlay(below, above)
    assert overlay(merged, above) == merged
    assert overlay(below, {}) == below
    assert set(merged) == set(below) | set(above)
    assert all(merged[name] == value for name, value in above.items() if not isinstance(value, dict))


@given(st.lists(names, min_size=1, max_size=4), st.integers())
def test_an_assignment_is_as_deep_as_its_dots(path, value):
    found = parse_assignment(f"{'.'.join(path)}={value}")
    for name in path:
        found = found[name]
    assert found == value
