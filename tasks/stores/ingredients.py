"""What the result of a step depends on: its inputs, its form, the code it runs and the libraries that code uses.

A value is told by its content, a form field by field, so that a person can be told which part of a key changed. The
code is that of the step's module and of every first-party module that it imports, directly or not, also inside a
function; so a change to serving repeats no training.
"""

import hashlib
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tasks.contracts.artifacts import Run
from tasks.contracts.config import Form
from tasks.contracts.record import Record, canonical_json, sha256_hex
from tasks.stores.import_graph import closure, imports

ROOT = Path(__file__).parents[2]
FIRST_PARTY = "tasks"
DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml", "simdjson": "pysimdjson", "mpl_toolkits": "matplotlib"}
"""Libraries that are installed under another name than they are imported by."""


def parts_of(arguments: Mapping[str, Any], module: str) -> dict[str, str]:
    """The parts of a step's key.

    Args:
        arguments: Of the step, by name. Of a `Run` only what shapes results counts: its seed, and what the recipe
            names from outside.
        module: Where the step's function is written.
    """
    parts = {"code": code_of(module)} | {f"library {name}": found for name, found in libraries_of(module).items()}
    for name, value in arguments.items():
        parts |= _parts(name, value)
    return dict(sorted(parts.items()))


def key_of(step: str, parts: Mapping[str, str]) -> str:
    """The name of a result before it exists."""
    return sha256_hex(canonical_json([step, dict(parts)]))


def _parts(name: str, value: Any) -> dict[str, str]:
    match value:
        case Run():
            foreign = {"foreign": value.foreign_digest} if value.foreign_digest else {}
            return {"seed": str(value.seed)} | foreign
        case Form():
            fields = value.model_dump(mode="json")
            return {f"{name}.{field}": canonical_json(each).decode() for field, each in fields.items()}
        case Record():
            return {name: value.digest}
        case tuple() | list() if any(isinstance(each, BaseModel) for each in value):
            return {name: sha256_hex(canonical_json([each.model_dump(mode="json") for each in value]))}
        case _:
            return {name: canonical_json(value).decode()}


@cache
def code_of(module: str) -> str:
    """SHA-256 over the sources of a first-party module and all that it imports, by path and content."""
    digest = hashlib.sha256()
    for path in sorted(_closure(module)):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@cache
def libraries_of(module: str) -> dict[str, str]:
    """The version of every library that a first-party module, or what it imports, imports."""
    names = {name.partition(".")[0] for path in _closure(module) for name in imports(path, ROOT)}
    foreign = sorted(names - sys.stdlib_module_names - {FIRST_PARTY, "flows", "deployments"})
    return {name: found for name in foreign if (found := _version(name))}


def _version(name: str) -> str:
    try:
        return version(DISTRIBUTIONS.get(name, name))
    except PackageNotFoundError:
        return ""


@cache
def _closure(module: str) -> frozenset[Path]:
    return closure(module, ROOT, (FIRST_PARTY,))
