"""The user's own network, by import path: `package.module:function`.

The function is called with those of `input_shape`, `output_size`, `hidden_sizes`, `dropout` and `vocabulary_size` that
its signature names, and returns a torch module. The current directory is importable. What comes back is tried on two
rows before anything is trained.
"""

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import ModelError, unknown_name
from tasks.models.rows import example

ARGUMENTS = ("input_shape", "output_size", "hidden_sizes", "dropout", "vocabulary_size")


def build(architecture: Architecture) -> nn.Module:
    """The module that the function at `import_path` makes.

    Raises:
        ModelError: The function cannot be found or called, or its module cannot be trained for these data.
    """
    module = made(architecture)
    _check_answer(architecture.import_path, module, architecture)
    return module


def made(architecture: Architecture) -> nn.Module:
    """The same, not yet tried on any row.

    Raises:
        ModelError: The function cannot be found or called, or its module has nothing to train.
    """
    path = architecture.import_path
    module = _call(path, _load(path), architecture)
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"train.import_path {path} returned {_kind(module)}, but must return a torch.nn.Module: "
            "return the network itself"
        )
    if not any(parameter.requires_grad and parameter.numel() for parameter in module.parameters()):
        raise ModelError(
            f"train.import_path {path} returned a module with no trainable parameters, but must have some: "
            "register layers as attributes, or in nn.ModuleList rather than a list"
        )
    return module


def _load(path: str) -> Callable[..., Any]:
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise ModelError(f"train.import_path is {path!r}, but must be 'package.module:function': name both")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that no file of the user's hides a library
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise ModelError(
            f"train.import_path is {path}, but module {module_name} cannot be imported ({_last_line(error)}): "
            f"mend it, or run from the folder that holds it"
        ) from error
    if not hasattr(module, name):
        known = [each for each, value in vars(module).items() if callable(value) and not each.startswith("_")]
        raise ModelError(f"train.import_path is {path}: {unknown_name('function', name, known)}")
    function = getattr(module, name)
    if not callable(function):
        raise ModelError(f"train.import_path {path} is {_kind(function)}, but must be a function that returns a module")
    return function  # type: ignore[no-any-return]


def _call(path: str, function: Callable[..., Any], architecture: Architecture) -> Any:
    offered = {name: getattr(architecture, name) for name in ARGUMENTS}
    try:
        named = inspect.signature(function).parameters.values()
    except ValueError as error:
        raise ModelError(f"train.import_path {path} has no signature to read: wrap it in a function") from error
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in named):
        wanted = set(offered)
    else:
        wanted = {parameter.name for parameter in named} & set(offered)
    missing = [
        parameter.name
        for parameter in named
        if parameter.default is parameter.empty
        and parameter.name not in offered
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if missing:
        raise ModelError(
            f"train.import_path {path} needs argument {missing[0]!r}, but is given only {', '.join(ARGUMENTS)}: "
            "give it a default"
        )
    try:
        return function(**{name: offered[name] for name in ARGUMENTS if name in wanted})
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise ModelError(f"train.import_path {path} raised {_last_line(error)}: mend the function") from error


def _check_answer(path: str, module: nn.Module, architecture: Architecture) -> None:
    for rows in (2, 3):  # a batch size written into the forward shows at the second
        answer = _tried(path, module, architecture, rows)
        expected = (rows, architecture.output_size)
        if not isinstance(answer, Tensor):
            raise ModelError(
                f"train.import_path {path}: its module answers {_kind(answer)}, but must answer one tensor"
            )
        if tuple(answer.shape) != expected:
            raise ModelError(
                f"train.import_path {path}: its module answers {rows} rows with shape {tuple(answer.shape)}, "
                f"but must answer with {expected}: rows first, then output_size"
            )
        if answer.dtype != torch.float32:
            raise ModelError(
                f"train.import_path {path}: its module answers {answer.dtype}, but must answer torch.float32"
            )
        if not answer.isfinite().all():
            raise ModelError(
                f"train.import_path {path}: its module answers NaN or infinity before any training, but must be "
                "finite: look at its initial weights and divisions"
            )
        if not answer.requires_grad:
            raise ModelError(
                f"train.import_path {path}: its module's answer does not depend on its parameters, but must, or "
                "nothing can be learned: look for detach() and no_grad()"
            )


def _tried(path: str, module: nn.Module, architecture: Architecture, rows: int) -> Any:
    training = module.training
    try:
        answer = module.eval()(example(architecture, rows))
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise ModelError(
            f"train.import_path {path}: its module raised {_last_line(error)} on {rows} rows of shape "
            f"{architecture.input_shape}, but must take any batch of them"
        ) from error
    module.train(training)
    return answer


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1].strip()}" if lines else type(error).__name__


def _kind(value: object) -> str:
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
