"""Keras models answer like themselves; layers that hold code never run."""

import json
import os
import zipfile

import numpy as np
import pytest
import torch

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")

from tasks.contracts.errors import ModelError  # noqa: E402
from tasks.exporters import parity  # noqa: E402
from tasks.exporters.onnx_graph import export_network  # noqa: E402
from tasks.models import network_file, pretrained  # noqa: E402


@pytest.fixture
def convolutional(tmp_path):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((6, 5, 3)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.save(tmp_path / "model.keras")
    return model


def test_images_go_in_with_channels_last_and_the_same_probabilities_come_out(convolutional, bring, images, tmp_path):
    module, architecture = bring(tmp_path / "model.keras", images)
    network_file.save(module, architecture, [], tmp_path / "network.safetensors")
    rebuilt = network_file.load(tmp_path / "network.safetensors").eval()
    own = convolutional(torch.from_numpy(images.transpose(0, 2, 3, 1).copy()), training=False)
    logits = parity.logits_of(rebuilt, images)
    np.testing.assert_allclose(torch.as_tensor(logits).softmax(1), own.detach(), atol=1e-6)
    parity.sweep(export_network(rebuilt, images[:2], 20), rebuilt, images)
    assert pretrained.parameter_count(module) > 0


def test_a_model_for_other_rows_is_refused_with_both_shapes(convolutional, bring, table, tmp_path):
    with pytest.raises(ModelError, match=r"takes rows of shape \(6, 5, 3\), but the data have \(4,\)"):
        bring(tmp_path / "model.keras", table)


def changed(path, change):
    """The same file with another config."""
    with zipfile.ZipFile(path) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(found["config.json"])
    change(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**found, "config.json": json.dumps(config)}.items():
            archive.writestr(name, content)


def test_a_lambda_layer_is_refused(bring, table, tmp_path):
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Lambda(lambda x: x * 2)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="holds a Lambda layer, which is Python code: write it with layers of Keras"):
        bring(tmp_path / "model.keras", table)


def test_a_class_of_another_library_is_refused(convolutional, bring, images, tmp_path):
    def foreign(config):
        config["config"]["layers"][1] |= {"module": "os", "class_name": "system"}

    changed(tmp_path / "model.keras", foreign)
    with pytest.raises(ModelError, match=r"needs os\.system, but must hold layers of Keras alone: export it to ONNX"):
        bring(tmp_path / "model.keras", images)


def test_a_file_without_weights_is_refused_in_one_line(convolutional, bring, images, tmp_path):
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        config = archive.read("config.json")
    with zipfile.ZipFile(tmp_path / "bare.keras", "w") as archive:
        archive.writestr("config.json", config)
    with pytest.raises(ModelError, match=r"train\.source bare\.keras.*is no whole Keras 3 file") as caught:
        bring(tmp_path / "bare.keras", images)
    assert "\n" not in str(caught.value)
