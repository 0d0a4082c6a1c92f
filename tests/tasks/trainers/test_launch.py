import numpy as np
import pytest
import torch
from torch import nn

from tasks.contracts.config import TrainConfig
from tasks.contracts.errors import ConfigError
from tasks.contracts.schema import Encoding, Feature, NumberEncoding, Schema, TextEncoding
from tasks.trainers import launch
from tasks.trainers.loop import Arrays

NUMBERS = Encoding(features=(NumberEncoding(mean=0, scale=1),) * 2)


def schema(labels=(0, 1, 2), task="classification") -> Schema:
    features = tuple(Feature(name=name, kind="number") for name in "ab")
    return Schema(task=task, features=features, target="y", labels=labels)


def test_auto_takes_the_loss_that_fits_the_task():
    assert launch.recipe(schema(), NUMBERS, TrainConfig()).loss == "cross_entropy"
    assert launch.recipe(schema((), "regression"), NUMBERS, TrainConfig()).loss == "mse"


@pytest.mark.parametrize(("loss", "outputs"), [("cross_entropy", 2), ("bce", 1)])
def test_bce_needs_one_output_and_cross_entropy_one_a_class(loss, outputs):
    recipe = launch.recipe(schema((0, 1)), NUMBERS, TrainConfig(loss=loss))
    assert recipe.architecture.output_size == outputs and recipe.architecture.input_shape == (2,)


@pytest.mark.parametrize(
    ("labels", "task", "loss", "words"),
    [
        (
            (0, 1),
            "classification",
            "mse",
            "train.loss is mse, but the target 'y' is for classification: take cross_entropy",
        ),
        ((), "regression", "bce", "train.loss is bce, but the target 'y' is for regression: take mse"),
        ((0, 1, 2), "classification", "bce", "has 3 classes, not 2: take cross_entropy"),
    ],
)
def test_refuses_a_loss_for_the_other_task(labels, task, loss, words):
    with pytest.raises(ConfigError, match=words):
        launch.recipe(schema(labels, task), NUMBERS, TrainConfig(loss=loss))


def test_text_brings_its_vocabulary():
    text = Schema(task="classification", features=(Feature(name="text", kind="text"),), target="y", labels=(0, 1))
    encoding = Encoding(features=(TextEncoding(words=("a", "b", "c"), length=7),))
    architecture = launch.recipe(text, encoding, TrainConfig(family="cnn")).architecture
    assert (architecture.input_shape, architecture.vocabulary_size) == ((7,), 5)


def test_the_metric_of_a_regression_is_told_in_the_unit_of_the_target():
    encoding = Encoding(features=NUMBERS.features, target=NumberEncoding(mean=10, scale=250))
    assert launch.recipe(schema((), "regression"), encoding, TrainConfig()).metric_scale == 250


def test_fine_tuning_takes_its_own_epochs_and_never_stops_early():
    recipe = launch.recipe(schema((0, 1)), NUMBERS, TrainConfig(epochs=9, stop_loss=100.0, patience=1, batch_size=8))
    rng = np.random.default_rng(0)
    arrays = Arrays(rng.normal(size=(32, 2)).astype(np.float32), rng.integers(0, 2, 32))
    torch.manual_seed(0)
    fit = launch.run(nn.Linear(2, 2), arrays, arrays, recipe=recipe, seed=0, epochs=3)
    assert len(fit.epochs) == 3
