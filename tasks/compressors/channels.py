"""Structured pruning: channels are cut out of the network, which becomes smaller and faster everywhere.

Which ones: those with the smallest L2 norm over all weights that read or write them, layer by layer.
What is cut: hidden units, convolution channels, word vectors, residual streams, and in attention the same number of
places in every head. What is left whole: the logits, recurrent cells, torch's own multi-head attention, grouped
convolutions, and what feeds them.

The history says which shapes the layers had afterwards. It does not depend on weights, and replaying it needs no
tracing: a network file is read by building the network, replaying its history and loading its weights.
"""

import copy
from typing import Any

import numpy as np
import torch
import torch_pruning
from torch import Tensor, nn

from tasks.compressors.coupling import Coupled, coupled_channels
from tasks.contracts.errors import ModelError
from tasks.models.pretrained import refuse_changes

History = list[dict[str, Any]]
"""One entry for each layer that changed: its name, the shapes of its tensors, and its attributes such as
`out_channels`. Histories of cuts on top of each other are joined by `+`."""

_MEND = "set prune.ratios to [], or prune.method to magnitude"


def prune_channels(
    module: nn.Module, example: np.ndarray | Tensor, ratio: float, *, round_to: int = 1
) -> tuple[nn.Module, History]:
    """A copy of the module without the weakest channels, and how to rebuild its structure.

    Args:
        module: Stays as it is.
        example: A few encoded rows (N, ...), to trace the module with.
        ratio: Share of channels to remove from each layer, in (0, 1); at least one is left.
        round_to: Leave a multiple of this many channels, as some hardware likes it.

    Raises:
        ModelError: If nothing can be cut, as in a pretrained file, or the module does not run without the channels.
    """
    refuse_changes(module)
    rows = torch.as_tensor(example)
    pruned = copy.deepcopy(module).eval()
    with torch.no_grad():
        shape = pruned(rows).shape
    try:
        graph, coupled = coupled_channels(pruned, rows)
        removed = sum(_cut(graph, each, ratio, round_to) for each in coupled)
        with torch.no_grad():
            logits = pruned(rows)
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
        raise ModelError(
            f"the network does not run with channels removed ({' '.join(str(error).split())[:200]}): "
            f"read sizes off the tensors instead of fixing them in its forward, or {_MEND}"
        ) from error
    if removed == 0:
        raise ModelError(f"the network has no channels that could be cut at ratio {ratio:g}: {_MEND}")
    if logits.shape != shape:
        raise ModelError(f"the network gives logits {list(logits.shape)} instead of {list(shape)} once cut: {_MEND}")
    for before, after in zip(module.parameters(), pruned.parameters(), strict=True):
        after.requires_grad_(before.requires_grad)
    return pruned.train(module.training), _history(module, pruned)


def replay(module: nn.Module, history: History) -> nn.Module:
    """Gives an uncut module the structure that the history tells of, in place; its weights mean nothing afterwards.

    Args:
        module: Built from the same architecture as the one that was cut.
        history: Of `prune_channels`; empty changes nothing.

    Raises:
        ModelError: If the history is of another module.
    """
    for entry in history:
        try:
            layer = module.get_submodule(entry["module"])
            for name, shape in entry["shapes"].items():
                _shrink(layer, name, tuple(shape))
            for name, value in entry["attributes"].items():
                setattr(layer, name, tuple(value) if isinstance(value, list) else value)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the pruning history is of another network ({error}): use the file's own") from error
    return module


def _cut(graph: Any, coupled: Coupled, ratio: float, round_to: int) -> int:
    """Removes the weakest of these channels; returns how many."""
    per_head = coupled.channels // coupled.heads
    left = max(1, per_head - round(per_head * ratio))
    left = min(per_head, -(-left // round_to) * round_to)
    layer, handler = coupled.root.target.module, coupled.root.handler
    # Asked for anew: an earlier cut may have moved these channels' places behind a concatenation.
    group = graph.get_pruning_group(layer, handler, list(range(coupled.channels)))
    importance = torch_pruning.importance.GroupMagnitudeImportance(p=2)(group)
    if left == per_head or importance is None:
        return 0
    by_head = importance.reshape(coupled.heads, per_head).argsort(dim=1, stable=True)[:, : per_head - left]
    weakest = (by_head + torch.arange(coupled.heads)[:, None] * per_head).flatten().sort().values.tolist()
    graph.get_pruning_group(layer, handler, weakest).prune()
    if coupled.query is not None:
        _keep_scale(coupled.query, (left / per_head) ** 0.5)
    return len(weakest)


def _keep_scale(query: nn.Linear, factor: float) -> None:
    """Attention divides by the root of a head's width: without this, its scores would grow with every cut."""
    with torch.no_grad():
        for parameter in query.parameters():
            parameter.mul_(factor)


def _history(before: nn.Module, after: nn.Module) -> History:
    history = []
    for (name, old), (_, new) in zip(before.named_modules(), after.named_modules(), strict=True):
        shapes = {key: list(value.shape) for key, value in _tensors(new).items()}
        changed = {key: shape for key, shape in shapes.items() if shape != list(_tensors(old)[key].shape)}
        attributes = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in vars(new).items()
            if isinstance(value, (int, tuple)) and value != vars(old).get(key)
        }
        if changed:
            history.append({"module": name, "shapes": changed, "attributes": attributes})
    return history


def _tensors(layer: nn.Module) -> dict[str, Tensor]:
    """The layer's own parameters and buffers."""
    own = (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False))
    return dict(own)


def _shrink(layer: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    old = _tensors(layer)[name]
    if len(shape) != old.ndim or any(new > size for new, size in zip(shape, old.shape, strict=True)):
        raise ValueError(f"{name} of shape {list(old.shape)} cannot become {list(shape)}")
    kept = old.detach()[tuple(slice(size) for size in shape)].clone()
    setattr(layer, name, nn.Parameter(kept, old.requires_grad) if isinstance(old, nn.Parameter) else kept)
