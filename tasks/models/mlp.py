"""Multilayer perceptron: Linear, ReLU, Dropout for each hidden size, then a linear head.

Images are flattened; a text is the mean of its word vectors, as wide as the first hidden layer.
"""

from itertools import pairwise
from math import prod

from torch import Tensor, nn

from tasks.contracts.artifacts import Architecture
from tasks.models.words import BagOfWords


class MLP(nn.Module):
    """(N, *input_shape) to (N, output_size); without hidden sizes it is the linear family."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        text = architecture.vocabulary_size > 0
        widths = architecture.hidden_sizes
        inputs = (widths[:1] or (64,))[0] if text else prod(architecture.input_shape)
        self.rows = BagOfWords(architecture.vocabulary_size, inputs) if text else nn.Flatten()
        self.hidden = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(before, after), nn.ReLU(), nn.Dropout(architecture.dropout))
                for before, after in pairwise((inputs, *widths))
            )
        )
        self.head = nn.Linear((inputs, *widths)[-1], architecture.output_size)

    def forward(self, encoded: Tensor) -> Tensor:
        """Logits (N, output_size)."""
        logits: Tensor = self.head(self.hidden(self.rows(encoded)))
        return logits
