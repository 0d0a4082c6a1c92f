"""Convolutional networks: plain stages over images, Kim's windows over text."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from tasks.contracts.artifacts import Architecture
from tasks.models import words

FIRST_WINDOW = 3
"""Kim 2014 reads windows of 3, 4 and 5 words."""


def build(architecture: Architecture) -> nn.Module:
    """The CNN that fits the input: images (N, C, H, W) or token ids (N, L)."""
    return TextCNN(architecture) if architecture.vocabulary_size else ImageCNN(architecture)


class ImageCNN(nn.Module):
    """One stage for each hidden size, then the mean over the image and a linear head: (N, C, H, W) to logits.

    A stage is conv 3x3, batch norm, ReLU, max pool 2x2; it pools only while both sides are 2 or more, so images of
    8x8 can pass any number of stages. `hidden_sizes=(32, 64, 128)` has 95,000 parameters on MNIST,
    `(64, 128, 256, 384)` has 1.26 million.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        channels, *sides = architecture.input_shape
        side = min(sides)
        stages: list[nn.Module] = []
        for before, after in pairwise((channels, *architecture.hidden_sizes)):
            stages.append(_stage(before, after, pool=side >= 2))
            side //= 2
        self.stages = nn.Sequential(*stages)
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(architecture.dropout)
        self.head = nn.Linear(architecture.hidden_sizes[-1], architecture.output_size)

    def forward(self, encoded: Tensor) -> Tensor:
        """Logits (N, output_size)."""
        features = self.mean(self.stages(encoded)).flatten(1)
        logits: Tensor = self.head(self.dropout(features))
        return logits


def _stage(before: int, after: int, *, pool: bool) -> nn.Sequential:
    # No bias: the batch norm behind it has one.
    layers = [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(2)) if pool else nn.Sequential(*layers)


class TextCNN(nn.Module):
    """Windows over word vectors, the strongest answer of each, a linear head: (N, L) token ids to logits.

    `hidden_sizes` are the width of the word vectors, then the channels of the windows of 3, 4, 5, ... words:
    `(300, 100, 100, 100)` is the paper's network; a single size is both. Padding after a text never changes its answer.

    Source: Kim 2014, Convolutional Neural Networks for Sentence Classification, section 2 (arXiv 1408.5882).
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width, *channels = architecture.hidden_sizes
        channels = channels or [width]
        self.vectors = words.vectors(architecture.vocabulary_size, width)
        self.windows = nn.ModuleList(
            _window(width, size, words_seen) for words_seen, size in enumerate(channels, start=FIRST_WINDOW)
        )
        self.dropout = nn.Dropout(architecture.dropout)
        self.head = nn.Linear(sum(channels), architecture.output_size)

    def forward(self, encoded: Tensor) -> Tensor:
        """Logits (N, output_size)."""
        vectors = self.vectors(encoded).transpose(1, 2)
        at_words = words.mask(encoded).transpose(1, 2)
        # After ReLU nothing is below zero, so a zero at padding never wins the maximum against a word.
        strongest = [(window(vectors) * at_words).amax(2) for window in self.windows]
        logits: Tensor = self.head(self.dropout(torch.cat(strongest, 1)))
        return logits


def _window(before: int, after: int, size: int) -> nn.Sequential:
    # Padded by hand: padding="same" warns on even windows.
    padding = nn.ZeroPad1d(((size - 1) // 2, size // 2))
    return nn.Sequential(padding, nn.Conv1d(before, after, size), nn.ReLU())
