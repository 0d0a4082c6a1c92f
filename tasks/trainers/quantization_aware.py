"""Fine-tuning under int8: the training loop, run on a network that rounds as static int8 will."""

from collections.abc import Callable
from pathlib import Path

import onnx
from torch import nn

from tasks.compressors import qat
from tasks.compressors.gradual import Sparsity
from tasks.contracts.config import TrainConfig
from tasks.exporters.onnx_graph import export_network
from tasks.stores.datasets import OpenDataset
from tasks.trainers import launch
from tasks.trainers.loop import Arrays, Epoch, ignore


def trained_graph(
    module: nn.Module,
    data: OpenDataset,
    training: TrainConfig,
    *,
    opset: int,
    seed: int,
    epochs: int,
    checkpoint: Path | None = None,
    report: Callable[[Epoch], None] = ignore,
) -> onnx.ModelProto:
    """The network, fine-tuned to bear int8 and exported in float: encoded rows to logits.

    Weights that are zero stay zero. It runs in this process: under torchrun, workers would build the network anew.

    Args:
        module: The trained float network; stays as it is.
        data: What to train on.
        training: How, as for the dense network but for the number of epochs.
        opset: Version of the ONNX operators.
        seed: Makes batches repeatable.
        epochs: Passes over the training split; 0 leaves the weights alone.
        checkpoint: Folder to resume from and to write to after every epoch; None keeps none.
        report: Called after every epoch.

    Raises:
        ModelError: The network cannot be traced, or has nothing that could be int8.
        GraphError: The network cannot be exported.
    """
    alone = training.model_copy(update={"engine": "local", "workers": 1})
    recipe = launch.recipe(data.manifest.schema_, data.manifest.encoding, alone)
    train, validation = Arrays(*data.arrays("train")), Arrays(*data.arrays("validation"))

    def fit(rounding: nn.Module) -> None:
        launch.run(
            rounding,
            train,
            validation,
            recipe=recipe,
            seed=seed,
            epochs=epochs,
            sparsity=Sparsity(),
            checkpoint=checkpoint,
            report=report,
        )

    example = train.inputs[:2]
    return export_network(qat.quantization_aware(module, example, fit), example, opset)
