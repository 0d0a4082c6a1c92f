"""Weights with a function: loaded strictly, cut, trained on and rebuilt like a custom network."""

import numpy as np
import pytest
import safetensors.torch
import torch

from tasks.compressors.channels import prune_channels
from tasks.contracts.config import TrainConfig
from tasks.contracts.errors import ModelError
from tasks.contracts.schema import Encoding, Feature, NumberEncoding, Schema
from tasks.exporters import parity
from tasks.exporters.onnx_graph import export_network
from tasks.models import network_file, pretrained
from tasks.trainers import launch
from tasks.trainers.loop import Arrays


@pytest.fixture
def weights(maker, tmp_path):
    """Weights of the function's module, and that module."""
    module = __import__("my_pretrained_network").make((4,), 3)
    with torch.no_grad():
        module[1].weight.add_(1.0)
    safetensors.torch.save_file(module.state_dict(), tmp_path / "model.safetensors")
    return module.eval()


def test_the_module_answers_with_these_weights(weights, maker, bring, table, tmp_path):
    module, _ = bring(tmp_path / "model.safetensors", table, import_path=maker)
    np.testing.assert_allclose(parity.logits_of(module, table), weights(torch.from_numpy(table)).detach(), atol=1e-6)


def test_it_is_cut_trained_on_stored_and_exported(weights, maker, bring, table, tmp_path):
    module, architecture = bring(tmp_path / "model.safetensors", table, import_path=maker)
    small, history = prune_channels(module, table[:2], 0.5)
    assert pretrained.parameter_count(small) < pretrained.parameter_count(module)
    rows = Arrays(table, np.arange(40) % 3)
    schema = Schema(
        task="classification",
        features=tuple(Feature(name=n, kind="number") for n in "abcd"),
        target="y",
        labels=(0, 1, 2),
    )
    encoding = Encoding(features=(NumberEncoding(mean=0, scale=1),) * 4)
    config = TrainConfig(
        family="pretrained", source="model.safetensors", import_path=maker, hidden_sizes=(12,), batch_size=8
    )
    recipe = launch.recipe(schema, encoding, config)
    assert recipe.architecture == architecture
    assert recipe.loss == "cross_entropy"
    fit = launch.run(small, rows, rows, recipe=recipe, seed=0, epochs=3)
    assert fit.epochs[-1].train_loss < fit.epochs[0].train_loss
    network_file.save(small, architecture, history, tmp_path / "small.safetensors")
    rebuilt = network_file.load(tmp_path / "small.safetensors").eval()
    np.testing.assert_array_equal(parity.logits_of(rebuilt, table), parity.logits_of(small, table))
    parity.sweep(export_network(rebuilt, table[:2], 20), rebuilt, table)


def test_a_file_without_a_function_is_refused(weights, bring, table, tmp_path):
    with pytest.raises(ModelError, match=r"import_path is '', but model\.safetensors holds weights alone: name the"):
        bring(tmp_path / "model.safetensors", table)


@pytest.mark.parametrize("change", ["missing", "unknown", "shape"])
def test_weights_of_another_module_are_refused_by_name(change, weights, bring, table, tmp_path):
    state = weights.state_dict()
    if change == "missing":
        state.pop("1.bias")
    elif change == "unknown":
        state["9.bias"] = torch.ones(2)
    else:
        state["1.bias"] = torch.ones(5)
    safetensors.torch.save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"does not hold the weights of my_pretrained_network:make \(.*bias") as caught:
        bring(tmp_path / "model.safetensors", table, import_path="my_pretrained_network:make")
    assert "\n" not in str(caught.value)


def test_frozen_files_are_not_trained_on(network, bring, table, tmp_path):
    torch.jit.save(torch.jit.script(network), tmp_path / "model.pt")
    module, _ = bring(tmp_path / "model.pt", table)
    rows = Arrays(table, np.arange(40) % 3)
    with pytest.raises(ModelError, match="a pretrained torchscript model cannot be cut or trained further"):
        launch.run(module, rows, rows, recipe=None, seed=0)
