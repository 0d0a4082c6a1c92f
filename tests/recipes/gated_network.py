"""A network that no family of ours offers: a gated linear unit between two linear layers (Dauphin et al. 2017)."""

from torch import Tensor, nn


class GatedNetwork(nn.Module):
    """(N, inputs) to logits (N, outputs)."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.values = nn.Linear(inputs, width)
        self.gates = nn.Linear(inputs, width)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.values(x) * self.gates(x).sigmoid())


def build(input_shape: tuple[int, ...], output_size: int) -> nn.Module:
    """What `train.import_path` names; the arguments it asks for are handed over by name."""
    return GatedNetwork(input_shape[0], 48, output_size)
