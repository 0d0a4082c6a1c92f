"""Recurrent network: LSTM or GRU layers over a sequence, the mean of their outputs, a linear head.

A text is a sequence of words, an image of rows from top to bottom, a tabular row of its columns in order. Layers read
forward only: what they say about a word never depends on the padding behind it.

Source: Hochreiter and Schmidhuber 1997, Long Short-Term Memory; Cho et al. 2014 (arXiv 1406.1078).
"""

from itertools import pairwise

from torch import Tensor, nn

from tasks.contracts.artifacts import Architecture
from tasks.models.rows import as_sequence, step_width
from tasks.models.words import mask, masked_mean, vectors

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}


class RNN(nn.Module):
    """(N, L) token ids, (N, C, H, W) or (N, D) to logits; one recurrent layer for each hidden size.

    Word vectors are as wide as the first layer.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        widths = architecture.hidden_sizes
        self.vectors = vectors(architecture.vocabulary_size, widths[0]) if architecture.vocabulary_size else None
        first = widths[0] if architecture.vocabulary_size else step_width(architecture.input_shape)
        cell = CELLS[architecture.cell]
        self.layers = nn.ModuleList(
            cell(before, after, batch_first=True) for before, after in pairwise((first, *widths))
        )
        self.dropout = nn.Dropout(architecture.dropout)
        self.head = nn.Linear(widths[-1], architecture.output_size)

    def forward(self, encoded: Tensor) -> Tensor:
        """Logits (N, output_size)."""
        steps = as_sequence(encoded) if self.vectors is None else self.vectors(encoded)
        for layer in self.layers:
            steps, _ = layer(steps)
            steps = self.dropout(steps)
        words = None if self.vectors is None else mask(encoded)
        logits: Tensor = self.head(masked_mean(steps, words))
        return logits
