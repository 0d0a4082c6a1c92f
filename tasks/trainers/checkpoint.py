"""Checkpoints: one safetensors file, replaced in one step after every epoch. Never pickle.

Weights, best weights and the optimizer's memory are its tensors; the epochs so far are canonical JSON in its header. A
file is only taken up again by the very training that wrote it, which it recognises by a key over everything that
decides the outcome.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from tasks.contracts.record import canonical_json
from tasks.models import atomic
from tasks.trainers.records import Epoch

NAME = "last.safetensors"


@dataclass(frozen=True)
class Progress:
    """How far a training has come: all that the next epoch depends on.

    Attributes:
        epochs: Those that are done.
        weights: Parameters and buffers after the last of them.
        best: The same after the epoch of the lowest validation loss.
        optimizer: The optimizer's memory.
        first: Number of the first epoch that may be the best one. Not written: the key decides it.
    """

    epochs: tuple[Epoch, ...]
    weights: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    first: int = 1

    @classmethod
    def start(cls, module: nn.Module) -> "Progress":
        """Before the first epoch."""
        weights = _copy(module)
        return cls(epochs=(), weights=weights, best=weights, optimizer={})

    @property
    def best_epoch(self) -> Epoch | None:
        """The earliest epoch of the lowest validation loss, from `first` on."""
        return min(self.epochs[self.first - 1 :], key=lambda epoch: epoch.validation_loss, default=None)

    def advanced(self, epoch: Epoch, module: nn.Module, optimizer: Mapping[str, Tensor]) -> "Progress":
        """After one more epoch, at whose end module and optimizer stand."""
        weights, best = _copy(module), self.best_epoch
        better = best is None or epoch.validation_loss < best.validation_loss
        return Progress((*self.epochs, epoch), weights, weights if better else self.best, optimizer, self.first)


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def save(folder: Path, key: str, progress: Progress) -> None:
    """Replace the checkpoint in `folder`.

    Raises:
        TrainingError: It cannot be written; the one before still stands.
    """
    tensors = {
        f"{part}/{name}": value.detach().contiguous().clone()
        for part in ("weights", "best", "optimizer")
        for name, value in getattr(progress, part).items()
    }
    header = canonical_json({"key": key, "epochs": [asdict(epoch) for epoch in progress.epochs]}).decode()
    atomic.write(folder / NAME, safetensors.torch.save(tensors, metadata={"ingot": header}))


def load(folder: Path, key: str) -> Progress | None:
    """The checkpoint in `folder`; None if there is none, it is damaged, or it belongs to another training.

    Training that starts over ends with the same weights, only later: that is better than to refuse.
    """
    try:
        with safe_open(folder / NAME, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("ingot", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError):
        return None
    if header.get("key") != key:
        return None
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "best": {}, "optimizer": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = value
    epochs = tuple(Epoch(**epoch) for epoch in header["epochs"])
    return Progress(epochs, parts["weights"], parts["best"], parts["optimizer"])


def training_key(module: nn.Module, tensors: Mapping[str, Tensor], settings: Mapping[str, Any], workers: int) -> str:
    """SHA-256 over what decides the outcome: first weights, data, settings, torch, and who shares in a sum."""
    facts = [dict(settings), workers, torch.get_num_threads(), torch.__version__]
    digest = hashlib.sha256(canonical_json(facts))
    for name, value in sorted((dict(module.state_dict()) | dict(tensors)).items()):
        digest.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
        digest.update(np.ascontiguousarray(value.detach().numpy()).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
