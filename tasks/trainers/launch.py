"""From the training form to the training loop: what the form means for one dataset, and which launcher runs it.

The one place where a form becomes arguments; the loop itself knows no form.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from tasks.compressors.gradual import Sparsity
from tasks.contracts.artifacts import Architecture
from tasks.contracts.config import TrainConfig
from tasks.contracts.errors import ConfigError
from tasks.contracts.schema import Encoding, Schema
from tasks.datasets.preprocessing import encoded_shape, vocabulary_size
from tasks.models.pretrained import refuse_changes
from tasks.models.pretrained.formats import format_of
from tasks.stores.web import address_of
from tasks.trainers import local, torchrun
from tasks.trainers.loop import Arrays, Epoch, Fit, ignore

Loss = Literal["mse", "cross_entropy", "bce"]
LOOP_FIELDS = {"optimizer", "learning_rate", "schedule", "epochs", "batch_size", "l2", "stop_loss", "patience"}
"""The fields of the form that the loop takes as they are."""


@dataclass(frozen=True)
class Recipe:
    """A training form, read against one dataset."""

    config: TrainConfig
    architecture: Architecture
    loss: Loss
    metric_scale: float
    """From the loop's metric to the user's: 1 for accuracy, the target's scale for RMSE."""


def recipe(schema: Schema, encoding: Encoding, config: TrainConfig) -> Recipe:
    """What the form means for these data.

    Raises:
        ConfigError: The loss does not fit the task.
        ModelError: The source of a pretrained model is of no format that is read.
    """
    loss = _loss(schema, config)
    architecture = Architecture(
        family=config.family,
        input_shape=encoded_shape(schema, encoding),
        output_size=len(schema.labels) if loss == "cross_entropy" else 1,
        hidden_sizes=config.hidden_sizes,
        dropout=config.dropout,
        cell=config.cell,
        vocabulary_size=vocabulary_size(encoding),
        import_path=config.import_path,
        file_format=format_of(address_of(config.source)) if config.family == "pretrained" else "",
    )
    return Recipe(config, architecture, loss, encoding.target.scale if encoding.target else 1.0)


def _loss(schema: Schema, config: TrainConfig) -> Loss:
    fitting: dict[str, Loss] = {"classification": "cross_entropy", "regression": "mse"}
    if config.loss == "auto":
        return fitting[schema.task]
    if (config.loss == "mse") != (schema.task == "regression"):
        raise ConfigError(
            f"train.loss is {config.loss}, but the target {schema.target!r} is for {schema.task}: "
            f"take {fitting[schema.task]}, or set ingest.task"
        )
    if config.loss == "bce" and len(schema.labels) != 2:
        raise ConfigError(
            f"train.loss is bce, but {schema.target!r} has {len(schema.labels)} classes, not 2: take cross_entropy"
        )
    return config.loss


def run(
    module: nn.Module,
    train: Arrays,
    validation: Arrays,
    *,
    recipe: Recipe,
    seed: int,
    history: Sequence[dict[str, Any]] = (),
    report: Callable[[Epoch], None] = ignore,
    checkpoint: Path | None = None,
    epochs: int | None = None,
    teacher: nn.Module | None = None,
    sparsity: Sparsity | None = None,
) -> Fit:
    """Train `module` as the recipe says, in this process or under torchrun.

    Args:
        module: Trained in place.
        train: Encoded inputs and targets of the training split.
        validation: The same of the validation split.
        recipe: What to do.
        seed: Makes the order of the batches and dropout repeatable.
        history: What was pruned away from `module` before.
        report: Called after every epoch.
        checkpoint: Folder to resume from and to write to after every epoch; None keeps none.
        epochs: Instead of the recipe's, for fine-tuning.
        teacher: Distil from this network.
        sparsity: Zero the smallest weights meanwhile, and keep them at zero.
    """
    refuse_changes(module)
    arguments: dict[str, Any] = recipe.config.model_dump(include=LOOP_FIELDS)
    if epochs is not None:
        arguments |= {"epochs": epochs, "stop_loss": None, "patience": 0}
    arguments |= {"loss": recipe.loss, "seed": seed, "report": report, "checkpoint": checkpoint}
    arguments |= {"teacher": teacher, "sparsity": sparsity}
    if recipe.config.engine == "torchrun":
        arguments |= {"architecture": recipe.architecture, "pruning_history": list(history)}
        return torchrun.fit(module, train, validation, workers=recipe.config.workers, **arguments)
    return local.fit(module, train, validation, **arguments)
