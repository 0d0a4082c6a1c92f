"""Transformer encoder over words, the rows of an image, or the columns of a table.

Norms stand before each part, which trains without a warm-up of the learning rate.

Source: Vaswani et al. 2017, Attention Is All You Need, section 3 (arXiv 1706.03762); norms as in Xiong et al. 2020
(arXiv 2002.04745); columns as tokens after Gorishniy et al. 2021 (arXiv 2106.11959).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from tasks.contracts.artifacts import Architecture
from tasks.models.rows import as_sequence, step_width, steps
from tasks.models.words import mask, masked_mean, vectors

HIDDEN = -1e4
"""Score of a padded word: its weight is exp(-1e4) = 0, and a row of padding alone has no NaN, unlike with -inf."""


class Transformer(nn.Module):
    """(N, L) token ids, (N, C, H, W) or (N, D) to logits; one encoder layer for each hidden size.

    Where the next size differs, a linear map carries the tokens over.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        widths, shape = architecture.hidden_sizes, architecture.input_shape
        self.is_text = architecture.vocabulary_size > 0
        self.tokens = (
            vectors(architecture.vocabulary_size, widths[0])
            if self.is_text
            else nn.Linear(step_width(shape), widths[0])
        )
        self.positions = vectors(steps(shape), widths[0], padding=False)
        self.dropout = nn.Dropout(architecture.dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(before, after, architecture.dropout) for before, after in pairwise((widths[0], *widths))
        )
        self.norm = nn.LayerNorm(widths[-1])
        self.head = nn.Linear(widths[-1], architecture.output_size)

    def forward(self, encoded: Tensor) -> Tensor:
        """Logits (N, output_size)."""
        tokens = self.tokens(encoded if self.is_text else as_sequence(encoded))
        tokens = self.dropout(tokens + self.positions(torch.arange(tokens.shape[1], device=encoded.device)))
        visible = mask(encoded) if self.is_text else None
        for layer in self.layers:
            tokens = layer(tokens, visible)
        logits: Tensor = self.head(masked_mean(self.norm(tokens), visible))
        return logits


class EncoderLayer(nn.Module):
    """Attention, then a feed-forward network of four times the width: (N, L, before) to (N, L, after)."""

    def __init__(self, before: int, after: int, dropout: float) -> None:
        super().__init__()
        self.resize = nn.Identity() if before == after else nn.Linear(before, after)
        self.attention_norm = nn.LayerNorm(after)
        self.attention = Attention(after, num_heads(after))
        self.forward_norm = nn.LayerNorm(after)
        self.feed_forward = nn.Sequential(
            nn.Linear(after, 4 * after), nn.ReLU(), nn.Dropout(dropout), nn.Linear(4 * after, after)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, visible: Tensor | None) -> Tensor:
        """(N, L, before), and (N, L, 1) where there is padding, to (N, L, after)."""
        tokens = self.resize(tokens)
        tokens = tokens + self.dropout(self.attention(self.attention_norm(tokens), visible))
        result: Tensor = tokens + self.dropout(self.feed_forward(self.forward_norm(tokens)))
        return result


class Attention(nn.Module):
    """Scaled dot-product self-attention in `num_heads` heads, each projection a layer of its own.

    The width of a head is read from the activations, so pruned projections fit without a change here.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor, visible: Tensor | None) -> Tensor:
        """(N, L, W), and (N, L, 1) that is 0 where nobody may look, to (N, L, W)."""
        query, key, value = (self._heads(layer(tokens)) for layer in (self.query, self.key, self.value))
        scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        if visible is not None:
            scores = scores + (1 - visible.transpose(1, 2).unsqueeze(1)) * HIDDEN
        mixed: Tensor = self.output((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
        return mixed

    def _heads(self, tokens: Tensor) -> Tensor:
        """(N, L, W) to (N, heads, L, W / heads)."""
        heads: Tensor = tokens.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        return heads


def num_heads(width: int) -> int:
    """As many of 8, 4, 2, 1 heads as divide the width and keep 16 places or more each.

    >>> num_heads(64), num_heads(256), num_heads(30)
    (4, 8, 1)
    """
    return next(heads for heads in (8, 4, 2, 1) if heads == 1 or (width % heads == 0 and width // heads >= 16))
