"""Which channels stand and fall together: torch-pruning's dependency graph, with what it cannot follow fenced off.

Removing one output channel of a layer removes an input of whatever reads it, a place of the norm behind it, and, where
two branches are added, a channel of the other branch too. Recurrent cells and torch's own multi-head attention are
closed while the network is traced, and whatever would reach into them is left whole.

Source: Fang et al. 2023, DepGraph: Towards Any Structural Pruning (arXiv 2301.12900).
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch_pruning
from torch import Tensor, nn

from tasks.models.transformer import Attention

_CLOSED = (nn.RNNBase, nn.MultiheadAttention)
_ROOTS = (nn.modules.conv._ConvNd, nn.Linear, nn.Embedding)


class Coupled(NamedTuple):
    """Channels that are removed together."""

    root: Any
    """torch-pruning's first dependency of the group: which layer, and how it is cut."""
    channels: int
    """Of the first layer."""
    heads: int
    """Blocks of equal size that must stay equal: attention heads; else 1."""
    query: nn.Linear | None
    """The attention's query, whose scale depends on the width of a head."""


def coupled_channels(module: nn.Module, example: Tensor) -> tuple[Any, list[Coupled]]:
    """The dependency graph of a module, and all channels that may be removed without changing the logits' shape.

    Args:
        module: Traced in place, in evaluation mode.
        example: A few encoded rows (N, ...).
    """
    graph = torch_pruning.DependencyGraph()
    closed = {type(each): _Closed() for each in module.modules() if isinstance(each, _CLOSED)}
    with torch.enable_grad(), warnings.catch_warnings(), _traceable(module):
        warnings.simplefilter("ignore")  # about parameters outside of layers: their last axis is the right one
        module.requires_grad_(True)
        answering = _answering(module, example)
        graph.build_dependency(module, (example,), customized_pruners=closed, verbose=False)
        groups = list(graph.get_all_groups(ignored_layers=answering, root_module_types=_ROOTS))
    queries = {each.query: each.num_heads for each in module.modules() if isinstance(each, Attention)}
    return graph, [_coupled(group, queries) for group in groups if not _reaches_the_fence(group)]


class _Closed:
    """What torch-pruning asks about a layer that is left whole. In and out differ, so nothing passes through."""

    def prune_out_channels(self, layer: nn.Module, idxs: list[int]) -> nn.Module:
        return layer

    def prune_in_channels(self, layer: nn.Module, idxs: list[int]) -> nn.Module:
        return layer

    def get_out_channels(self, layer: Any) -> int:
        if isinstance(layer, nn.MultiheadAttention):
            return int(layer.embed_dim)
        return int((layer.proj_size or layer.hidden_size) * (2 if layer.bidirectional else 1))

    def get_in_channels(self, layer: Any) -> int:
        return int(layer.embed_dim if isinstance(layer, nn.MultiheadAttention) else layer.input_size)

    def get_out_channel_groups(self, layer: nn.Module) -> int:
        return 1

    get_in_channel_groups = get_out_channel_groups


def _coupled(group: Any, queries: dict[nn.Linear, int]) -> Coupled:
    cut = [dependency.target.module for dependency, _ in group if dependency.target.module in queries]
    query = cut[0] if cut and _cuts_outputs_of(group, cut[0]) else None
    return Coupled(group[0].dep, len(group[0].idxs), queries[query] if query else 1, query)


def _cuts_outputs_of(group: Any, layer: nn.Module) -> bool:
    return any(
        dependency.target.module is layer and dependency.handler == torch_pruning.prune_linear_out_channels
        for dependency, _ in group
    )


def _reaches_the_fence(group: Any) -> bool:
    return any(_is_fence(dependency.target.module) for dependency, _ in group)


def _is_fence(layer: Any) -> bool:
    if isinstance(layer, nn.modules.conv._ConvNd):
        return 1 < layer.groups < layer.out_channels  # each block of channels would have to lose the same number
    return isinstance(layer, (*_CLOSED, nn.GroupNorm, torch_pruning.ops._OutputOp))


def _answering(module: nn.Module, example: Tensor) -> list[nn.Module]:
    """The layers whose output is the logits."""
    made: list[tuple[nn.Module, Any]] = []
    hooks = [each.register_forward_hook(lambda layer, _, out: made.append((layer, out))) for each in module.modules()]
    try:
        logits = module(example)
    finally:
        for hook in hooks:
            hook.remove()
    return [layer for layer, out in made if out is logits]


@contextmanager
def _traceable(module: nn.Module) -> Iterator[None]:
    """Gives closed layers, and our attention, a forward that autograd sees as a plain sum of what goes in."""
    replaced = [each for each in module.modules() if isinstance(each, (*_CLOSED, Attention))]
    for layer in replaced:
        layer.forward = _open_attention(layer) if isinstance(layer, Attention) else _opaque(layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in replaced:
            del layer.forward


def _opaque(layer: nn.Module) -> Any:
    """The layer's answer, bound to its inputs by a term that is zero."""
    forward = layer.forward

    def run(*inputs: Any, **named: Any) -> Any:
        with torch.no_grad():
            first, *others = forward(*inputs, **named)
        bond = sum(each.sum() for each in (*inputs, *named.values()) if _is_traced(each))
        return (first + 0 * bond, *others)

    return run


def _open_attention(layer: Attention) -> Any:
    """Query, key, value and the input of the output layer as one group, place by place, without the heads between."""

    def run(tokens: Tensor, visible: Tensor | None) -> Any:
        return layer.output(layer.query(tokens) + layer.key(tokens) + layer.value(tokens))

    return run


def _is_traced(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad
