"""Entry points that are wrong in one way each."""

import torch
from torch import nn


def raises() -> nn.Module:
    """Fails."""
    raise RuntimeError("no luck")


def returns_a_word() -> str:
    """Is no module."""
    return "network"


def three_outputs(input_shape: tuple[int, ...]) -> nn.Module:
    """Has three outputs, however many classes there are."""
    return nn.Linear(input_shape[0], 3)


class Constant(nn.Module):
    """Answers zeros."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, D) to (N, outputs)."""
        return x.new_zeros(x.shape[0], self.outputs)


def nothing_to_train(output_size: int) -> nn.Module:
    """Has no parameters."""
    return Constant(output_size)


class _Branching(nn.Module):
    """Takes another path where its rows sum to less than zero."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(inputs, outputs)

    def forward(self, rows):
        return self.head(rows) if rows.sum().item() > 0 else self.head(-rows)


def branches_on_values(input_shape, output_size):
    """A network that no graph can hold."""
    return _Branching(input_shape[0], output_size)
