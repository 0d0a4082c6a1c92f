"""Train: from a dataset to the dense network, the one that all others are held against."""

from typing import TYPE_CHECKING

from tasks.contracts.artifacts import Network, Run
from tasks.contracts.config import TrainConfig
from tasks.contracts.dataset import Dataset
from tasks.recall import Recall
from tasks.step import step

if TYPE_CHECKING:
    from torch import nn

    from tasks.stores.datasets import OpenDataset
    from tasks.trainers.launch import Recipe

MOST_MODEL_BYTES = 2 * 2**30
"""Of a pretrained model's file; ONNX allows no more."""
TRIED_ROWS = 256
"""Training rows that a pretrained model is tried on."""


@step(name="train", recall=Recall(curves="train"))
def train(dataset: Dataset, config: TrainConfig, run: Run) -> Network:
    """Train the dense network, or take the pretrained one, and store it.

    Raises:
        ModelError: The family does not fit the data, or the custom or pretrained model is broken.
        TrainingError: The loss became NaN, or a checkpoint could not be written.
    """
    from tasks.stores.datasets import opened
    from tasks.stores.networks import put_network
    from tasks.stores.s3 import Store
    from tasks.trainers import launch

    store = Store.from_environment(run.bucket, run.prefix)
    with opened(store, dataset) as data:
        recipe = launch.recipe(data.manifest.schema_, data.manifest.encoding, config)
        if config.family == "pretrained":
            module, metric = _brought(data, recipe, run)
        else:
            module, metric = _trained(data, recipe, run)
    return put_network(
        store,
        module,
        name="dense",
        architecture=recipe.architecture,
        history=[],
        loss=recipe.loss,
        metric=metric * recipe.metric_scale,
    )


def _trained(data: "OpenDataset", recipe: "Recipe", run: Run) -> "tuple[nn.Module, float]":
    from tasks.exporters import plots
    from tasks.exporters.watching import watched
    from tasks.models import zoo
    from tasks.stores import tracking
    from tasks.stores.checkpoints import Checkpoints
    from tasks.trainers import launch
    from tasks.trainers.loop import Arrays
    from tasks.trainers.progress import to_all

    module, epochs = zoo.build(recipe.architecture, seed=run.seed), recipe.config.epochs
    with watched(run, "train", epochs) as report, Checkpoints(data.store, run.step_key) as saves:
        fit = launch.run(
            module,
            Arrays(*data.arrays("train")),
            Arrays(*data.arrays("validation")),
            recipe=recipe,
            seed=run.seed,
            checkpoint=saves.folder,
            report=to_all(report, saves),
        )
    curve = plots.learning_curve([e.train_loss for e in fit.epochs], [e.validation_loss for e in fit.epochs])
    tracking.log_figure(run.mlflow_run_id, curve, "plots/learning_curve.png")
    return module, fit.metric


def _brought(data: "OpenDataset", recipe: "Recipe", run: Run) -> "tuple[nn.Module, float]":
    from tasks.models import pretrained
    from tasks.stores import tracking
    from tasks.stores.sources import local_source
    from tasks.trainers.loop import Arrays
    from tasks.trainers.objectives import evaluate

    source = recipe.config.source
    path = local_source(data.store, source, data.folder / "pretrained", MOST_MODEL_BYTES, field="train.source")
    rows, target = data.sample("train", TRIED_ROWS, run.seed), data.manifest.encoding.target
    module = pretrained.load(path, recipe.architecture, rows, loss=recipe.loss, target=target)
    tracking.set_tags(run.mlflow_run_id, {"train.source": source})
    return module, evaluate(module, Arrays(*data.arrays("validation")), recipe.loss)[1]
