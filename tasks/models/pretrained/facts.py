"""Facts as tensors, so that they lie in a module's state beside its weights and travel wherever those do."""

import json
from typing import Any

import torch
from torch import Tensor

from tasks.contracts.record import canonical_json


def as_tensor(content: bytes) -> Tensor:
    """Bytes as uint8 (N,)."""
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def as_bytes(tensor: Tensor) -> bytes:
    """What `as_tensor` was given."""
    return tensor.cpu().numpy().tobytes()


def packed(facts: dict[str, Any]) -> Tensor:
    """Facts that JSON can say."""
    return as_tensor(canonical_json(facts))


def unpacked(tensor: Tensor) -> dict[str, Any]:
    """What `packed` was given; tuples come back as lists."""
    facts: dict[str, Any] = json.loads(as_bytes(tensor))
    return facts
