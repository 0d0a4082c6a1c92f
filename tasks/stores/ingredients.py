"""What the result of a step depends on: its inputs, its form, the code it runs and the libraries that code uses.

A value is told by its content, a form field by field, so that a person can be told which part of a key changed. The
code is that of the step's module and of every first-party module that it imports, directly or not, also inside a
function; so a change to serving repeats no training.
"""

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tasks.contracts.artifacts import Run
from tasks.contracts.config import Form
from tasks.contracts.record import Record, canonical_json, sha256_hex

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
    names = {name.partition(".")[0] for path in _closure(module) for name in _imports(path)}
    foreign = sorted(names - sys.stdlib_module_names - {FIRST_PARTY, "flows", "deployments"})
    return {name: found for name in foreign if (found := _version(name))}


def _version(name: str) -> str:
    try:
        return version(DISTRIBUTIONS.get(name, name))
    except PackageNotFoundError:
        return ""


@cache
def _closure(module: str) -> frozenset[Path]:
    found: set[Path] = set()
    waiting = list(_files(module))
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [file for name in _imports(path) for file in _files(name)]
    return frozenset(found)


@cache
def _imports(path: Path) -> frozenset[str]:
    """All names that a file imports; `from a import b` may mean the module `a.b`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return frozenset(names)


def _files(module: str) -> Iterator[Path]:
    """The file of a first-party module, and those of the packages that are imported on the way to it."""
    parts = module.split(".")
    if parts[0] != FIRST_PARTY:
        return
    for length in range(1, len(parts) + 1):
        place = ROOT.joinpath(*parts[:length])
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                yield path
