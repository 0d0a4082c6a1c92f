"""Quantization-aware training: weights learn to bear int8, by rounding them and the activations as they are trained.

What is notable: the roundings stand where `static` will put them (both factors of a product, nothing else), and the
trained weights are handed back to the float module. It is exported and quantized like any other, so that ONNX Runtime
fuses the result; torchao's own placement leaves residual networks in pieces. Batch norms are folded while rounding, as
they will be in the file. Dropout is left out: torchao would set each to p = 0.5, and rounding is noise enough.

Source: Jacob et al. 2017, Quantization and Training of Neural Networks for Integer-Arithmetic-Only Inference,
section 3 (arXiv 1712.05877); the passes are pt2e of torchao.
"""

import copy
import logging
import os
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tasks.compressors.number_format import seven_bits
from tasks.contracts.errors import ModelError

# Kernels for GPUs, whose absence torchao would report on every start; and that it leaves them out.
os.environ.setdefault("TORCHAO_FORCE_SKIP_LOADING_SO_FILES", "1")
for _talker in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_talker).setLevel(logging.ERROR)

from torchao.quantization.pt2e import (  # noqa: E402
    FusedMovingAvgObsFakeQuantize,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
)
from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e  # noqa: E402
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer  # noqa: E402
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY  # noqa: E402

_MEND = "take 'qat' out of quantize.schemes"
_TRACED_ROWS = 5  # 0 and 1 would be burnt in
_ATEN = torch.ops.aten
_LAYERS = {_ATEN.linear.default, _ATEN.conv1d.default, _ATEN.conv2d.default, _ATEN.conv3d.default}
_PRODUCTS = {_ATEN.matmul.default, _ATEN.bmm.default, _ATEN.mm.default}
_BATCH_NORM, _IS_TRAINING = _ATEN.batch_norm.default, 5
_LOOKUPS = {_ATEN.embedding.default}
_DROPOUTS = {_ATEN.dropout.default, _ATEN.dropout_.default, _ATEN.feature_dropout.default}
_one_trace = threading.Lock()  # torch.export keeps process-wide state, and mapped tasks share a process


def quantization_aware(
    module: nn.Module,
    example: np.ndarray | Tensor,
    fit: Callable[[nn.Module], object],
    *,
    reduce_range: bool | None = None,
) -> nn.Module:
    """A copy of the module whose weights were trained under int8.

    Args:
        module: Stays as it is.
        example: At least one encoded row (N, ...), to trace the module with.
        fit: Trains the module that it is given in place. Its parameters are named as in `module`, so that masks fit.
        reduce_range: Whether weights do with 7 bits, since sums would overflow; None asks this CPU.

    Raises:
        ModelError: If the module cannot be traced, or has nothing that could be int8.
    """
    rounding = _rounding(module, torch.as_tensor(example), narrow=seven_bits(reduce_range))
    fit(rounding)
    trained = copy.deepcopy(module)
    found = dict(rounding.state_dict())
    kept = {name: found[name] for name in trained.state_dict() if name in found}
    trained.load_state_dict(kept, strict=False)
    return trained.eval()


def _rounding(module: nn.Module, rows: Tensor, *, narrow: bool) -> nn.Module:
    """The module as a graph that rounds as it computes; `train` and `eval` work on it."""
    rows = rows[torch.arange(_TRACED_ROWS) % len(rows)]
    try:
        with _one_trace, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            free = ({0: torch.export.Dim("batch")},)
            graph = torch.export.export(copy.deepcopy(module).eval(), (rows,), dynamic_shapes=free).module()
            _without_dropout(graph)
            rounding: nn.Module = prepare_qat_pt2e(graph, _AroundProducts(narrow=narrow))
            _let_switch(rounding)
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
        raise ModelError(
            f"the network cannot be traced to train it in int8 ({' '.join(str(error).split())[:200]}): "
            f"look for a branch on values or a fixed batch size in its forward, or {_MEND}"
        ) from error
    if not any(isinstance(each, FusedMovingAvgObsFakeQuantize) for each in rounding.modules()):
        raise ModelError(f"the network has no layer that could be trained in int8: {_MEND}")
    return rounding


def _without_dropout(graph: Any) -> None:
    for node in list(graph.graph.nodes):
        if node.target in _DROPOUTS:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.recompile()


def _let_switch(graph: Any) -> None:
    """Makes `train` and `eval` work on the graph, in place.

    torchao's own way looks for patterns at every switch, which takes longer than an epoch (0.8 to 2 s). Ranges follow
    what is trained on alone: rows that only measure must not move them.
    """
    norms = [node for node in graph.graph.nodes if node.target == _BATCH_NORM]
    rounders = [each for each in graph.modules() if isinstance(each, FusedMovingAvgObsFakeQuantize)]
    values = [each for each in rounders if each.dtype == torch.uint8]

    def train(mode: bool = True) -> Any:
        for node in norms:
            node.args = (*node.args[:_IS_TRAINING], mode, *node.args[_IS_TRAINING + 1 :])
        graph.recompile()
        for each in values:
            each.enable_observer(mode)
        return nn.Module.train(graph, mode)

    graph.train, graph.eval = train, lambda: train(False)
    graph.eval()


class _AroundProducts(Quantizer):
    """Says where values are rounded: both factors of every product, and word vectors."""

    def __init__(self, *, narrow: bool) -> None:
        super().__init__()
        self._values = _spec(torch.uint8, 0, 255, torch.per_tensor_affine, MovingAverageMinMaxObserver)
        most = 64 if narrow else 127
        self._channels = _weights(most, torch.per_channel_symmetric, MovingAveragePerChannelMinMaxObserver)
        self._table = _weights(most, torch.per_tensor_symmetric, MovingAverageMinMaxObserver)

    def annotate(self, model: Any) -> Any:
        """Notes it on every node."""
        for node in model.graph.nodes:
            specs = self._specs(node.target)
            if specs:
                inputs = {node.args[place]: spec for place, spec in enumerate(specs)}
                node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(input_qspec_map=inputs, _annotated=True)
        return model

    def validate(self, model: Any) -> None:
        """Every graph will do."""

    def _specs(self, target: Any) -> tuple[Any, ...]:
        """Of the node's arguments, from the first."""
        if target in _LAYERS:
            return self._values, self._channels
        if target in _PRODUCTS:
            return self._values, self._values
        return (self._table,) if target in _LOOKUPS else ()


def _weights(most: int, qscheme: torch.qscheme, observer: type) -> Any:
    # Rounded by the range they have now, not by a mean over the steps before.
    return _spec(torch.int8, -most, most, qscheme, observer, averaging_constant=1.0)


def _spec(dtype: torch.dtype, least: int, most: int, qscheme: torch.qscheme, observer: type, **options: float) -> Any:
    rounder = FusedMovingAvgObsFakeQuantize.with_args(observer=observer, eps=2**-12, **options)
    per_channel = qscheme == torch.per_channel_symmetric
    return QuantizationSpec(
        dtype, rounder, quant_min=least, quant_max=most, qscheme=qscheme, ch_axis=0 if per_channel else None
    )
