"""Linear and logistic regression: one affine map of the flattened row.

On text the row is its bag of words: the map is linear in the mean of word vectors, of rank at most 64.
"""

from math import prod

from torch import Tensor, nn

from tasks.contracts.artifacts import Architecture
from tasks.models.words import BagOfWords

TEXT_RANK = 64


class Linear(nn.Module):
    """(N, *input_shape) to (N, output_size). `hidden_sizes` and `dropout` have nothing to act on."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        text = architecture.vocabulary_size > 0
        inputs = TEXT_RANK if text else prod(architecture.input_shape)
        self.rows = BagOfWords(architecture.vocabulary_size, inputs) if text else nn.Flatten()
        self.head = nn.Linear(inputs, architecture.output_size)

    def forward(self, encoded: Tensor) -> Tensor:
        """Logits (N, output_size)."""
        logits: Tensor = self.head(self.rows(encoded))
        return logits
