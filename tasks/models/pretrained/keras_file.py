"""Keras 3 models, run by Keras on torch; Keras is the optional extra `keras`.

Layers that hold Python code (Lambda, a wrapped torch module) are refused, and so is every class that is not of Keras:
before Keras sees the file, and by its own safe_mode once more.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from tasks.contracts.errors import ModelError
from tasks.models.pretrained.formats import entries, not_whole
from tasks.models.pretrained.frozen import Opened
from tasks.models.pretrained.reading import Wanted

HOLD_CODE = ("Lambda", "__lambda__", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer")


def checked(content: bytes, name: str) -> bytes:
    """The file, if it holds layers of Keras alone.

    Raises:
        ModelError: It does not, or is no Keras 3 file.
    """
    found = entries(content, name)
    try:
        config = json.loads(found["config.json"])
    except (KeyError, ValueError, RecursionError) as error:
        raise not_whole(name, "Keras 3 file", "it has no config.json that can be read") from error
    for each in _objects(config):
        kind, module = each["class_name"], each.get("module")
        if kind in HOLD_CODE:
            raise ModelError(
                f"train.source {name} holds a {kind} layer, which is Python code: write it with layers of Keras"
            )
        if module and module.split(".")[0] not in ("keras", "builtins"):
            raise ModelError(
                f"train.source {name} needs {module}.{kind}, but must hold layers of Keras alone: export it to ONNX"
            )
    return content


def opened(content: bytes) -> Opened:
    """The model, for inference."""
    keras = _keras()
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        try:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises whatever its layers do
            raise not_whole("", "Keras 3 file", error) from error
    inputs, last = model.inputs, keras.config.image_data_format() == "channels_last"
    if len(inputs) != 1:
        raise ModelError(f"it has {len(inputs)} inputs, but must have one: join them into one layer")
    dtype = getattr(torch, str(inputs[0].dtype))
    wanted = Wanted(tuple(inputs[0].shape[1:]), dtype, not dtype.is_floating_point, channels_last=last)
    parameters = sum(int(weight.value.count_nonzero()) for weight in model.weights)
    return Opened(lambda rows: model(rows, training=False), parameters, wanted)


def _keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        keras = import_module("keras")
    except ImportError as error:
        raise ModelError("keras is not installed, but .keras files need it: pip install 'ingot[keras]'") from error
    if keras.backend.backend() != "torch":
        raise ModelError(f"KERAS_BACKEND is {keras.backend.backend()}, but must be torch: set it")
    return keras


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every object that Keras would make."""
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            yield config
        for value in config.values():
            yield from _objects(value)
    elif isinstance(config, list):
        for value in config:
            yield from _objects(value)
