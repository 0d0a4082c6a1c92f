"""Every network family by its name."""

from collections.abc import Callable

from torch import nn

from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import ModelError
from tasks.models import cnn, custom, pretrained
from tasks.models.linear import Linear
from tasks.models.mlp import MLP
from tasks.models.randomness import seeded
from tasks.models.resnet import ResNet
from tasks.models.rnn import RNN
from tasks.models.rows import kind
from tasks.models.transformer import Transformer

FAMILIES: dict[str, Callable[[Architecture], nn.Module]] = {
    "linear": Linear,
    "mlp": MLP,
    "cnn": cnn.build,
    "resnet": ResNet,
    "rnn": RNN,
    "transformer": Transformer,
    "custom": custom.build,
    "pretrained": pretrained.build,
}
READS = {"cnn": ("images", "text"), "resnet": ("images",)}
"""What the families that do not read everything read."""
BROUGHT = ("custom", "pretrained")
"""Made by the user: nobody is sent there for want of a family."""
NEED_SIZES = ("cnn", "resnet", "rnn", "transformer")


def build(architecture: Architecture, *, seed: int = 0) -> nn.Module:
    """An untrained network, in training mode; the same architecture and seed give the same weights.

    Its forward takes encoded rows alone, (N, D) or (N, C, H, W) float32 or (N, L) int64 token ids where 0 pads, and
    returns logits (N, output_size): no softmax, no sigmoid.

    Raises:
        ModelError: The family cannot read such rows, or the custom function is unusable.
    """
    _check(architecture)
    with seeded(seed):
        return FAMILIES[architecture.family](architecture)


def _check(architecture: Architecture) -> None:
    family, rows = architecture.family, kind(architecture)
    if rows not in READS.get(family, (rows,)):
        fitting = [name for name in FAMILIES if name not in BROUGHT and rows in READS.get(name, (rows,))]
        raise ModelError(
            f"train.family is {family}, but must fit {rows} rows of shape {architecture.input_shape}: "
            f"take {', '.join(fitting[:-1])} or {fitting[-1]}"
        )
    if family in NEED_SIZES and not architecture.hidden_sizes:
        raise ModelError(f"train.hidden_sizes is empty, but must hold one size or more for family {family}: try (64,)")
