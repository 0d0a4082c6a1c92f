"""From encoded rows to what a model takes: another order of the axes, another shape, another type of number."""

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from tasks.models.pretrained.facts import packed, unpacked

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Wanted:
    """What a model's file says of its input.

    Attributes:
        shape: Of one row, with None where any size will do; None if the file does not say.
        dtype: Of its numbers.
        whole: Whether it reckons with whole numbers.
        channels_last: Whether images are (H, W, C) where it comes from, also once flattened.
    """

    shape: tuple[int | None, ...] | None = None
    dtype: torch.dtype = torch.float32
    whole: bool = False
    channels_last: bool = False


class Reading(nn.Module):
    """Encoded rows (N, D) or (N, C, H, W) as a model takes them; nothing is changed but order, shape and type.

    Attributes:
        shape: Of one row for the model; None leaves it.
        channels_last: Whether (C, H, W) becomes (H, W, C) first.
        dtype: As torch calls it, such as `float32`.
    """

    def __init__(self, shape: Shape | None = None, *, channels_last: bool = False, dtype: str = "float32") -> None:
        super().__init__()
        self.shape, self.channels_last, self.dtype = shape, channels_last, dtype

    def forward(self, encoded: Tensor) -> Tensor:
        """(N, *input_shape) to (N, *shape)."""
        if self.channels_last:
            encoded = encoded.permute(0, 2, 3, 1)
        if self.shape is not None:
            encoded = encoded.reshape(-1, *self.shape)
        return encoded.to(getattr(torch, self.dtype))

    def get_extra_state(self) -> Tensor:
        """Its facts, for the state dict."""
        return packed({"shape": self.shape, "channels_last": self.channels_last, "dtype": self.dtype})

    def set_extra_state(self, state: Any) -> None:
        """Takes the facts of another."""
        facts = unpacked(state)
        self.shape = None if facts["shape"] is None else tuple(facts["shape"])
        self.channels_last, self.dtype = facts["channels_last"], facts["dtype"]


def readings(input_shape: Shape, wanted: Wanted) -> list[Reading]:
    """Every way to hand rows of this shape to such a model, the likeliest first; none if sizes do not agree."""
    ways = [(input_shape, False)] if len(input_shape) != 3 else _of_images(input_shape, wanted)
    sizes = wanted.shape and [size for size in wanted.shape if size is not None]
    free_of_order = len(input_shape) != 3 or input_shape[0] == 1
    if (
        wanted.shape
        and sizes
        and len(sizes) == len(wanted.shape)
        and prod(sizes) == prod(input_shape)
        and free_of_order
    ):
        ways.append((tuple(sizes), False))
    dtype = str(wanted.dtype).removeprefix("torch.")
    return [
        Reading(None if shape == input_shape else shape, channels_last=last, dtype=dtype)
        for shape, last in ways
        if _fits(shape, wanted.shape)
    ]


def _of_images(shape: Shape, wanted: Wanted) -> list[tuple[Shape, bool]]:
    channels, height, width = shape
    first: list[tuple[Shape, bool]] = [(shape, False), ((prod(shape),), False)]
    last: list[tuple[Shape, bool]] = [((height, width, channels), True), ((prod(shape),), True)]
    flat: list[tuple[Shape, bool]] = [((height, width), False)] if channels == 1 else []
    return [*last, *first, *flat] if wanted.channels_last else [*first, *last, *flat]


def _fits(shape: Shape, wanted: tuple[int | None, ...] | None) -> bool:
    return wanted is None or (
        len(shape) == len(wanted) and all(want in (None, have) for have, want in zip(shape, wanted, strict=True))
    )
