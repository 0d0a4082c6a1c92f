"""A network in one file: safetensors, with architecture and pruning history in its header. Never pickle.

The header has a single metadata key, `ingot`: safetensors writes several in random order, and the same weights must be
the same bytes.
"""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import ModelError
from tasks.contracts.record import canonical_json
from tasks.models import atomic, zoo

KEY = "ingot"


def save(module: nn.Module, architecture: Architecture, pruning_history: list[Any], path: Path) -> None:
    """Write a network, atomically; the same weights give the same bytes.

    Args:
        module: Whose weights and buffers are kept.
        architecture: From which `zoo.build` makes the unpruned module.
        pruning_history: What `compressors.channels.replay` does to it again; empty if nothing was cut.
        path: The file.

    Raises:
        TrainingError: The file cannot be written.
    """
    header = canonical_json({"architecture": architecture.model_dump(mode="json"), "pruning_history": pruning_history})
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in module.state_dict().items()}
    atomic.write(path, safetensors.torch.save(tensors, metadata={KEY: header.decode()}))


def load(path: Path) -> nn.Module:
    """The network of a file, in training mode.

    Raises:
        ModelError: The file is missing, damaged, or not a network file of Ingot.
    """
    header, tensors = _read(path)
    try:
        architecture = Architecture.model_validate(header["architecture"])
        history = header["pruning_history"]
    except (KeyError, TypeError, ValidationError) as error:
        raise _refusal(path, "its header names no architecture") from error
    module = zoo.build(architecture)
    if history:
        module = _replayed(module, history, path)
    try:
        module.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise _refusal(path, "its weights do not fit its architecture") from error
    return module


def pruning_history(path: Path) -> list[Any]:
    """What was cut from the network of a file since it was built, as `save` was told.

    Raises:
        ModelError: As in `load`.
    """
    header, _ = _read(path)
    if not isinstance(header, dict) or not isinstance(header.get("pruning_history"), list):
        raise _refusal(path, "its header holds no pruning history")
    return list(header["pruning_history"])


def _read(path: Path) -> tuple[Any, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except FileNotFoundError as error:
        raise ModelError(f"network file {path} does not exist: give the path of one") from error
    except (SafetensorError, OSError) as error:
        raise _refusal(path, "it is not a whole safetensors file") from error
    if KEY not in metadata:
        raise _refusal(path, f"its header has no key {KEY!r}")
    try:
        return json.loads(metadata[KEY]), tensors
    except ValueError as error:
        raise _refusal(path, f"its key {KEY!r} holds no JSON") from error


def _replayed(module: nn.Module, history: Any, path: Path) -> nn.Module:
    from tasks.compressors.channels import replay

    try:
        return replay(module, history)
    except (ModelError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise _refusal(path, "its pruning history does not fit its architecture") from error


def _refusal(path: Path, why: str) -> ModelError:
    return ModelError(f"network file {path} cannot be loaded, {why}, but must be one that Ingot wrote: fetch it again")
