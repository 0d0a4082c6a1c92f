"""From a file to a `Pretrained` that has answered real rows."""

from importlib import import_module
from pathlib import Path
from typing import Literal

import numpy as np
from torch import nn

from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import ModelError
from tasks.contracts.schema import NumberEncoding
from tasks.models import custom
from tasks.models.pretrained import weights_file
from tasks.models.pretrained.answer import Answer
from tasks.models.pretrained.fitting import fitted
from tasks.models.pretrained.formats import refuse_pickle
from tasks.models.pretrained.frozen import ROOMS, Frozen
from tasks.models.pretrained.network import Pretrained
from tasks.models.pretrained.reading import Reading, Wanted

Loss = Literal["mse", "cross_entropy", "bce"]


def load(
    path: Path, architecture: Architecture, rows: np.ndarray, *, loss: Loss, target: NumberEncoding | None = None
) -> Pretrained:
    """The model of a file, in evaluation mode; its answers as logits equal what it answers itself.

    Args:
        path: The file; `architecture.file_format` says how it is written.
        architecture: What the data give and ask for.
        rows: Encoded training rows (N, *input_shape): the model is tried on them, and its answers looked at.
        loss: What its answers are held against.
        target: How a regression target is standardised.

    Raises:
        ModelError: The file is hostile, broken, or does not fit the data.
    """
    if architecture.vocabulary_size:
        raise ModelError(
            "train.family is pretrained, but must fit text, whose words a model numbers in its own way: "
            "take cnn, rnn or transformer"
        )
    content = _content(path)
    refuse_pickle(content, path.name)
    model, wanted = _opened(content, path.name, architecture, cut=loss != "mse")
    reading, answer = fitted(
        model.eval(), wanted, rows, name=path.name, architecture=architecture, loss=loss, target=target
    )
    return Pretrained(model, reading, answer).eval()


def build(architecture: Architecture) -> Pretrained:
    """The same without its weights or file, ready for the state of one that was loaded."""
    if architecture.file_format == "safetensors":
        model: nn.Module = custom.made(architecture)
    elif architecture.file_format:
        model = Frozen(architecture.file_format)
    else:
        raise ModelError(
            "train.source is unknown to this network, but family pretrained needs it: bring the file again"
        )
    outputs = architecture.output_size
    return Pretrained(model, Reading(), Answer(width=outputs, outputs=outputs))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"train.source {path.name} cannot be read ({error.strerror}), but must be a model's file: give its path"
        ) from error


def _opened(content: bytes, name: str, architecture: Architecture, *, cut: bool) -> tuple[nn.Module, Wanted]:
    file_format = architecture.file_format
    if file_format == "safetensors":
        return weights_file.load(content, name, architecture), Wanted()
    room = import_module(ROOMS[file_format])
    content = room.checked(content, name)
    if file_format == "onnx" and cut:
        content = room.without_last_activation(content)
    model = Frozen(file_format, content)  # type: ignore[arg-type]
    try:
        return model, model.opened.wanted
    except ModelError as error:
        raise ModelError(f"train.source {name}: {error}") from error
