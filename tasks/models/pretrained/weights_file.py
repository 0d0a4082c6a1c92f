"""Weights in safetensors, and the function at `train.import_path` that builds the module they belong to."""

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import ModelError
from tasks.models import custom
from tasks.models.pretrained.formats import not_whole


def load(content: bytes, name: str, architecture: Architecture) -> nn.Module:
    """The module with these weights, every one of them used and none missing.

    Raises:
        ModelError: The function cannot be called, the file is broken, or the two do not belong together.
    """
    if not architecture.import_path:
        raise ModelError(
            f"train.import_path is '', but {name} holds weights alone: "
            "name the function that returns their module, 'package.module:function'"
        )
    try:
        tensors = safetensors.torch.load(content)
    except (SafetensorError, ValueError) as error:
        raise not_whole(name, "safetensors file", error) from error
    module = custom.made(architecture)
    try:
        module.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[1:])[:300]
        raise ModelError(
            f"train.source {name} does not hold the weights of {architecture.import_path} ({reason}): "
            "bring the file and the function that belong together"
        ) from error
    return module
