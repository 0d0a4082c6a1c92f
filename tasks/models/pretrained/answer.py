"""From what a model answers to the logits that the chain reckons with.

| the model answers | logits |
|---|---|
| logits | as they are |
| probabilities (N, K) | their logarithm: softmax gives back the probabilities |
| one probability (N, 1) | log p - log(1 - p) |
| values in the target's unit | (value - mean) / scale |

One column stands for two classes where two are asked for (softmax of (0, x) is the sigmoid of x), and the reverse.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from tasks.contracts.schema import NumberEncoding
from tasks.models.pretrained.facts import packed, unpacked

Kind = Literal["logits", "probabilities", "value"]
SMALLEST = torch.finfo(torch.float32).tiny
LARGEST = 1 - 2.0**-24
"""The largest float32 below 1."""
SUM_TOLERANCE = 1e-3


class Answer(nn.Module):
    """(N, width), or (N,), or (N, width, 1, 1), to logits (N, outputs).

    Attributes:
        kind: What the model answers.
        width: How many columns it answers.
        outputs: How many logits are asked for.
        mean, scale: Of the target, where values are answered.
    """

    def __init__(
        self, kind: Kind = "logits", *, width: int = 1, outputs: int = 1, mean: float = 0.0, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.kind, self.width, self.outputs = kind, width, outputs
        self.mean, self.scale = mean, scale

    def forward(self, raw: Tensor) -> Tensor:
        """Logits (N, outputs) float32."""
        columns = as_columns(raw)
        if self.kind == "value":
            return (columns - self.mean) / self.scale
        if self.kind == "probabilities":
            columns = columns.clamp(SMALLEST, LARGEST)
            columns = columns.log() - (1 - columns).log() if self.width == 1 else columns.log()
        if self.width < self.outputs:
            return torch.cat([torch.zeros_like(columns), columns], dim=1)
        return columns[:, 1:] - columns[:, :1] if self.width > self.outputs else columns

    def get_extra_state(self) -> Tensor:
        """Its facts, for the state dict."""
        names = ("kind", "width", "outputs", "mean", "scale")
        return packed({name: getattr(self, name) for name in names})

    def set_extra_state(self, state: Any) -> None:
        """Takes the facts of another."""
        for name, value in unpacked(state).items():
            setattr(self, name, value)


def as_columns(raw: Tensor) -> Tensor:
    """(N,) and (N, ...) to float32 (N, width)."""
    return raw.float().unsqueeze(1) if raw.ndim == 1 else raw.float().flatten(1)


def fitting_widths(outputs: int, loss: str) -> tuple[int, ...]:
    """How many columns a model may answer where so many logits are asked for."""
    if loss == "mse":
        return (1,)
    return (1, 2) if max(outputs, 2) == 2 else (outputs,)


def answer_of(raw: Tensor, outputs: int, loss: str, target: NumberEncoding | None) -> Answer:
    """What a model's answers to real rows are.

    Args:
        raw: Its answers (N, width), all finite.
        outputs: Logits that are asked for.
        loss: Of the recipe; mse says that values are answered.
        target: How the target is standardised.
    """
    width = raw.shape[1]
    if loss == "mse":
        scaling = target or NumberEncoding(mean=0.0, scale=1.0)
        return Answer("value", width=width, outputs=outputs, mean=scaling.mean, scale=scaling.scale)
    within = bool(((raw >= 0) & (raw <= 1)).all())
    whole = width == 1 or bool(((raw.sum(1) - 1).abs() <= SUM_TOLERANCE).all())
    return Answer("probabilities" if within and whole else "logits", width=width, outputs=outputs)
