"""What one `ingot run` shall do: a deployment's parameters, a file laid over them, and single fields over that."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from deployments.local.registration import deployment_names, read_deployments
from tasks.contracts.config import RetrainConfig
from tasks.contracts.errors import ConfigError, unknown_name
from tasks.contracts.explain import explain

Parameters = dict[str, Any]

COMMANDS = {"reconcile": "registry reconcile", "promote": "promote", "drift": "drift NAME", "watch": "deploy"}
"""The commands that do what deployments do which retrain nothing."""


def compose(name: str, file: Path | None, assignments: Sequence[str]) -> RetrainConfig:
    """The form that a command line describes.

    Args:
        name: A deployment of `prefect.yaml`; empty when the file says it all.
        file: YAML or JSON, laid over the deployment's parameters.
        assignments: `train.epochs=3`, laid over both.

    Raises:
        ConfigError: A name, a file or a field is wrong.
    """
    return laid_over(_deployment(name, needed=file is None), file, assignments)


def laid_over(parameters: Parameters, file: Path | None, assignments: Sequence[str]) -> RetrainConfig:
    """The form of some parameters, those of a file laid over them, and single fields over that.

    Raises:
        ConfigError: A file or a field is wrong.
    """
    if file is not None:
        parameters = overlay(parameters, read_parameters(file))
    for assignment in assignments:
        parameters = overlay(parameters, parse_assignment(assignment))
    try:
        return RetrainConfig.model_validate(parameters)
    except ValidationError as error:
        where = f"{file}: " if file is not None else ""
        raise ConfigError(where + explain(error)) from error


def overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> Parameters:
    """Nested fields, those of `above` winning.

    >>> overlay({"train": {"epochs": 3, "l2": 0.1}}, {"train": {"epochs": 9}})
    {'train': {'epochs': 9, 'l2': 0.1}}
    """
    merged = dict(below)
    for name, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = overlay(merged[name], value) if both else value
    return merged


def parse_assignment(text: str) -> Parameters:
    """`train.epochs=3` as nested fields; the value is read as YAML.

    >>> parse_assignment("prune.ratios=[0.25, 0.5]")
    {'prune': {'ratios': [0.25, 0.5]}}

    Raises:
        ConfigError: It is not an assignment.
    """
    path, equals, written = text.partition("=")
    names = path.strip().split(".")
    if not equals or not all(names):
        raise ConfigError(f"--set is {text!r}, but must be FIELD=VALUE: write for example --set train.epochs=3")
    try:
        value = yaml.safe_load(written)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is {written!r}, but must be a value as YAML writes it: quote it") from error
    for name in reversed(names):
        value = {name: value}
    return dict(value)


def read_parameters(file: Path) -> Parameters:
    """The fields that a YAML or JSON file holds.

    Raises:
        ConfigError: It cannot be read, or does not hold fields.
    """
    try:
        text = file.read_text()
        content = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise ConfigError(f"--params is {file}, but must be a readable file: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"--params is {file}, but must hold YAML or JSON: {reason}") from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"--params is {file}, but must hold fields such as `model_name: digits`: it holds {content!r:.60}"
        )
    return {str(name): value for name, value in content.items()}


def _deployment(name: str, *, needed: bool) -> Parameters:
    if not name and not needed:
        return {}
    known = read_deployments()
    if not name:
        raise ConfigError(
            f"NAME is missing, but must be a deployment, or come with --params: known: {', '.join(known)}"
        )
    if name not in known and name in deployment_names():
        raise ConfigError(
            f"deployment {name!r} retrains nothing, but `ingot run` needs one that does: start it in the Prefect UI, "
            f"or run `ingot {COMMANDS.get(name, '--help')}`; known: {', '.join(known)}"
        )
    if name not in known:
        raise ConfigError(unknown_name("deployment", name, known))
    return known[name]
