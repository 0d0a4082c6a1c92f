import numpy as np
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from tasks.contracts.errors import GraphError
from tasks.contracts.schema import Encoding, Feature, NumberEncoding, Schema
from tasks.exporters.parity import agreement, answers, logits_of, sweep, torch_answers

CLASSES = Schema(
    task="classification", features=(Feature(name="a", kind="number"),), target="y", labels=("lo", "mid", "hi")
)
PAIR = CLASSES.model_copy(update={"labels": (0, 1)})
PRICE = Schema(task="regression", features=(Feature(name="a", kind="number"),), target="y")
PLAIN = Encoding(features=(NumberEncoding(mean=0.0, scale=1.0),))
SCALED = Encoding(features=PLAIN.features, target=NumberEncoding(mean=100.0, scale=20.0))


def test_a_changed_weight_is_found_with_its_place(exported):
    module, rows, graph = exported("mlp")
    bias = next(each for each in graph.graph.initializer if list(each.dims) == [3])
    values = numpy_helper.to_array(bias).copy()
    values[1] += 0.25
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    with pytest.raises(
        GraphError, match=r"differs from torch by 0\.25 at row \d, logit 1 of a batch of 1, but must stay"
    ):
        sweep(graph, module, rows)
    assert sweep(graph, module, rows, tolerance=0.3) == pytest.approx(0.25, abs=1e-3)


def test_a_logit_that_is_not_a_number_is_found(exported):
    module, rows, graph = exported("mlp")
    bias = next(each for each in graph.graph.initializer if list(each.dims) == [3])
    bias.CopyFrom(numpy_helper.from_array(np.float32([0, 0, np.nan]), bias.name))
    with pytest.raises(GraphError, match="differs from torch by nan at row 0, logit 2"):
        sweep(graph, module, rows)


def test_a_batch_that_does_not_run_is_named(exported):
    module, rows, graph = exported("mlp")
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    with pytest.raises(GraphError, match="does not run on a batch of 1, but must run on any: look for a fixed batch"):
        sweep(graph, module, rows)


def test_rows_are_taken_again_where_there_are_too_few(exported):
    module, rows, graph = exported("mlp")
    assert sweep(graph, module, rows[:3]) < 1e-5


def test_torchs_logits_do_not_depend_on_the_chunk_and_leave_the_mode_alone(small_network):
    module, rows = small_network("mlp")
    module.train()
    np.testing.assert_allclose(logits_of(module, rows), logits_of(module, rows, rows_at_once=7), atol=1e-6)
    assert module.training


def test_answers_are_those_of_torch():
    logits = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32) * 5
    found = answers(logits, CLASSES, PLAIN, "cross_entropy")
    expected = torch.softmax(torch.from_numpy(logits), 1).numpy()
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
    assert found["label"].tolist() == [CLASSES.labels[i] for i in expected.argmax(1)]
    one = answers(logits[:, :1], PAIR, PLAIN, "bce")
    p = torch.sigmoid(torch.from_numpy(logits[:, 0])).numpy()
    np.testing.assert_allclose(one["probabilities"], np.stack([1 - p, p], 1), atol=1e-6)
    assert one["label"].dtype == np.int64
    np.testing.assert_allclose(
        answers(logits[:, :1], PRICE, SCALED, "mse")["value"], logits[:, 0] * 20 + 100, atol=1e-4
    )
    np.testing.assert_array_equal(answers(logits[:, :1], PRICE, PLAIN, "mse")["value"], logits[:, 0])


def test_torch_answers_are_the_answers_to_its_logits():
    torch.manual_seed(0)
    module, rows = nn.Linear(2, 1), np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(rows)).numpy()[:, 0] * 20 + 100
    np.testing.assert_allclose(torch_answers(module, rows, PRICE, SCALED, "mse")["value"], expected, rtol=1e-6)


def test_agreement_counts_equal_labels_and_the_largest_difference_of_a_probability():
    expected = {"label": np.array(["a", "b", "a", "b"], dtype=object), "probabilities": np.full((4, 2), 0.5)}
    found = {"label": np.array(["a", "b", "b", "b"], dtype=object), "probabilities": np.full((4, 2), 0.5)}
    found["probabilities"][2, 1] = 0.7
    assert agreement(found, expected, PLAIN) == pytest.approx((0.75, 0.2))


def test_agreement_of_values_is_in_units_of_the_targets_scale():
    expected = {"value": np.float32([100, 100, 100, 100])}
    found = {"value": np.float32([100, 100.01, 100.1, 104])}
    result = agreement(found, expected, SCALED)
    assert result.share == 0.5
    assert result.largest_difference == pytest.approx(0.2)
