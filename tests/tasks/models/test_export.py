"""Every family exports with a dynamic batch and answers alike on ONNX Runtime."""

import numpy as np
import onnxruntime
import pytest
import torch

from tasks.contracts.artifacts import Architecture
from tasks.models import zoo
from tasks.models.rows import example

torch.set_num_threads(1)

TEXT = {"input_shape": (9,), "vocabulary_size": 30}
IMAGES = {"input_shape": (2, 8, 8)}
TABLE = {"input_shape": (7,)}


@pytest.mark.parametrize(
    ("family", "rows", "cell"),
    [
        ("linear", TEXT, "lstm"),
        ("mlp", IMAGES, "lstm"),
        ("mlp", TABLE, "lstm"),
        ("cnn", IMAGES, "lstm"),
        ("cnn", TEXT, "lstm"),
        ("resnet", IMAGES, "lstm"),
        ("rnn", TEXT, "lstm"),
        ("rnn", IMAGES, "gru"),
        ("rnn", TABLE, "gru"),
        ("transformer", TEXT, "lstm"),
        ("transformer", IMAGES, "lstm"),
        ("transformer", TABLE, "lstm"),
    ],
)
def test_the_exported_graph_answers_any_batch_as_the_module_does(family, rows, cell):
    hidden_sizes = (16, 8) if family in ("transformer", "cnn") else (16,)
    this = Architecture(family=family, output_size=3, hidden_sizes=hidden_sizes, dropout=0.3, cell=cell, **rows)
    module = zoo.build(this).eval()
    batch = {0: torch.export.Dim("batch")}
    program = torch.onnx.export(
        module, (example(this, rows=2),), dynamo=True, opset_version=20, dynamic_shapes=(batch,), verbose=False
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    for size in (1, 2, 7, 32):
        encoded = example(this, size)
        if this.vocabulary_size:
            encoded[:, 6:] = 0
            encoded[-1] = 0
        (logits,) = session.run(None, {session.get_inputs()[0].name: encoded.numpy()})
        np.testing.assert_allclose(logits, module(encoded).detach().numpy(), atol=1e-5)
