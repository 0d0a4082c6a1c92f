"""TorchScript: a module with its own code, in a zip archive.

Its data.pkl is no danger: torch.jit.load reads it with an interpreter of its own that knows tensors, containers and the
types of the archive, and refuses every other global (torch/csrc/jit/serialization/unpickler.cpp, readGlobal). Its code
is TorchScript, which knows no Python, but two of its operators write files, and those are refused.
"""

import io
import re

import torch

from tasks.contracts.errors import ModelError
from tasks.models.pretrained.formats import entries, not_whole
from tasks.models.pretrained.frozen import Opened

_TOUCHES_FILES = re.compile(rb"\b(?:torch|aten)\s*\.\s*(save|from_file)\b")


def checked(content: bytes, name: str) -> bytes:
    """The file, if it is TorchScript that touches no files.

    Raises:
        ModelError: It is not.
    """
    found = entries(content, name)
    if any(each.endswith("models/model.json") for each in found):
        raise ModelError(f"train.source {name} is of torch.export, but is named like TorchScript: rename it to .pt2")
    if not any("/code/" in each for each in found):
        raise ModelError(f"train.source {name} holds no TorchScript code: save it by torch.jit.save")
    for each, code in found.items():
        touched = _TOUCHES_FILES.search(code) if each.endswith(".py") else None
        if touched:
            raise ModelError(
                f"train.source {name} calls torch.{touched[1].decode()}, which touches files: take that out of it"
            )
    return content


def opened(content: bytes) -> Opened:
    """The module, in evaluation mode."""
    try:
        module = torch.jit.load(io.BytesIO(content), map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        raise not_whole("", "TorchScript file", str(error).strip().splitlines()[0]) from error
    return Opened(module, sum(int(parameter.count_nonzero()) for parameter in module.parameters()))
