"""Encoded rows: which kind they are, how they read as a sequence, and made-up ones to try a network on."""

from typing import Literal

import torch
from torch import Tensor

from tasks.contracts.artifacts import Architecture


def kind(architecture: Architecture) -> Literal["tabular", "images", "text"]:
    """What the rows of an architecture are."""
    if architecture.vocabulary_size:
        return "text"
    return "images" if len(architecture.input_shape) == 3 else "tabular"


def example(architecture: Architecture, rows: int) -> Tensor:
    """Made-up rows, always the same: token ids in turn, else numbers from -1 to 1."""
    shape = torch.Size((rows, *architecture.input_shape))
    if architecture.vocabulary_size:
        return (torch.arange(shape.numel()) % architecture.vocabulary_size).reshape(shape)
    return torch.linspace(-1, 1, shape.numel()).reshape(shape)


def as_sequence(encoded: Tensor) -> Tensor:
    """(N, C, H, W) to its lines (N, H, C * W); (N, D) to its columns (N, D, 1)."""
    return encoded.unsqueeze(-1) if encoded.dim() == 2 else encoded.transpose(1, 2).flatten(2)


def step_width(input_shape: tuple[int, ...]) -> int:
    """Numbers in one step of the sequence.

    >>> step_width((3, 28, 28)), step_width((13,))
    (84, 1)
    """
    return 1 if len(input_shape) == 1 else input_shape[0] * input_shape[2]


def steps(input_shape: tuple[int, ...]) -> int:
    """Steps in the sequence: columns, lines of an image, or words.

    >>> steps((3, 28, 28)), steps((13,))
    (28, 13)
    """
    return input_shape[0] if len(input_shape) == 1 else input_shape[1]
