"""Residual network of basic blocks over images.

Source: He et al. 2015, Deep Residual Learning for Image Recognition, sections 3.3 and 4.2 (arXiv 1512.03385).
"""

from itertools import pairwise

from torch import Tensor, nn

from tasks.contracts.artifacts import Architecture


class ResNet(nn.Module):
    """A stem, one basic block for each hidden size, the mean over the image, a linear head: (N, C, H, W) to logits.

    A block whose width differs from the one before halves the image, as in the paper:
    `hidden_sizes=(16, 16, 16, 32, 32, 32, 64, 64, 64)` is ResNet-20.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        widths = architecture.hidden_sizes
        self.stem = nn.Sequential(*_convolution(architecture.input_shape[0], widths[0]), nn.ReLU())
        self.blocks = nn.Sequential(*(BasicBlock(*pair) for pair in pairwise((widths[0], *widths))))
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(architecture.dropout)
        self.head = nn.Linear(widths[-1], architecture.output_size)

    def forward(self, encoded: Tensor) -> Tensor:
        """Logits (N, output_size)."""
        features = self.mean(self.blocks(self.stem(encoded))).flatten(1)
        logits: Tensor = self.head(self.dropout(features))
        return logits


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut: (N, before, H, W) to (N, after, H, W), or half of H and W."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = 1 if before == after else 2
        self.residual = nn.Sequential(
            *_convolution(before, after, stride=stride), nn.ReLU(), *_convolution(after, after)
        )
        shortcut = nn.Sequential(*_convolution(before, after, size=1, stride=stride))
        self.shortcut = nn.Identity() if before == after else shortcut
        self.activation = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H / stride, W / stride), rounded up."""
        summed: Tensor = self.activation(self.residual(features) + self.shortcut(features))
        return summed


def _convolution(before: int, after: int, *, size: int = 3, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    # No bias: the batch norm behind it has one.
    return nn.Conv2d(before, after, size, stride, padding=size // 2, bias=False), nn.BatchNorm2d(after)
