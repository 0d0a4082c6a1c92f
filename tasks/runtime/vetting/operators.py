"""Which operators a graph may use: those of `operators.txt`, and what a site adds."""

import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from tasks.contracts.errors import ConfigError

STANDARD = ("", "ai.onnx")
"""Two names of one domain."""


def allowed_operators(environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """The list, as `domain::Operator`, with the site's own of INGOT_ALLOWED_OPERATORS (a comma between two).

    >>> "ai.onnx::Gemm" in allowed_operators({})
    True

    Raises:
        ConfigError: If an entry is not `domain::Operator`.
    """
    given = environment.get("INGOT_ALLOWED_OPERATORS", "")
    return _shipped() | {_entry(text.strip()) for text in given.split(",") if text.strip()}


def written(domain: str, operator: str) -> str:
    """How an operator is written in the list.

    >>> written("", "Gemm")
    'ai.onnx::Gemm'
    """
    return f"{'ai.onnx' if domain in STANDARD else domain}::{operator}"


@cache
def _shipped() -> frozenset[str]:
    found: set[str] = set()
    for line in files(__package__).joinpath("operators.txt").read_text().splitlines():
        domain, _, operators = line.partition("#")[0].partition(":")
        found |= {f"{domain.strip()}::{operator}" for operator in operators.split()}
    return frozenset(found)


def _entry(text: str) -> str:
    domain, separator, operator = text.partition("::")
    if not separator or not operator.isidentifier() or any(character.isspace() for character in domain):
        raise ConfigError(
            f"INGOT_ALLOWED_OPERATORS names {text!r}, but must name operators as domain::Operator: "
            "write ai.onnx::Loop for one without a domain"
        )
    return written(domain, operator)
