import numpy as np
import pytest
import torch
from torch import nn

from tasks.compressors.number_format import prepare
from tasks.compressors.quantizer import quantize
from tasks.compressors.sensitivity import (
    changed_answers,
    fewest,
    keep_touchiest_float,
    logits_of,
    mixed,
    operators_of,
    ranked,
)
from tasks.compressors.static import quantize_static
from tasks.contracts.errors import ConfigError
from tasks.exporters.onnx_graph import export_network


@pytest.fixture(name="touchy", scope="module")
def _touchy():
    """Four layers of which the third has inputs that one outlier stretches: its ranges are useless."""
    torch.manual_seed(0)
    layers = [nn.Linear(16, 128), nn.Linear(128, 32), nn.Linear(32, 32), nn.Linear(32, 4)]
    with torch.no_grad():
        layers[1].weight[0] *= 3000
        layers[2].weight[:, 0] /= 3000
    module = nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Identity(), layers[2], nn.Tanh(), layers[3])
    rows = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)
    return export_network(module, rows, 20), rows


def names_of(network):
    return [node.name for node in prepare(network).graph.node if node.op_type == "Gemm"]


def test_the_layer_that_int8_hurts_most_stays_in_float_and_the_others_do_not(touchy):
    network, rows = touchy
    lose = changed_answers(network, rows, "cross_entropy")
    whole = lose(quantize(network, "static", rows))
    found = keep_touchiest_float(network, rows, lose, 0.05)
    assert whole > 0.05
    assert found.loss <= 0.05
    assert found.loss == lose(found.network)
    assert 1 <= len(found.kept_float) <= 2
    assert set(found.kept_float) <= set(names_of(network)[1:3])
    assert len(found.network.SerializeToString()) < len(network.SerializeToString())


def test_a_network_that_bears_int8_keeps_nothing_in_float(touchy):
    network, rows = touchy
    found = keep_touchiest_float(network, rows, lambda _: 0.0, 0.0)
    assert found.kept_float == ()
    whole = quantize_static(network, rows)
    np.testing.assert_array_equal(logits_of(found.network, rows), logits_of(whole, rows))


def test_a_network_that_bears_no_int8_is_handed_back_in_float(touchy):
    network, rows = touchy
    found = keep_touchiest_float(network, rows, lambda _: 1.0, 0.5)
    assert found.network is network
    assert sorted(found.kept_float) == sorted(names_of(network))
    assert found.loss == 0.0


def test_the_loss_is_measured_a_few_times_only_however_many_layers_there_are():
    for needed in range(41):
        asked = []
        assert fewest(40, lambda kept, asked=asked, needed=needed: asked.append(kept) or kept >= needed) == needed
        assert len(asked) <= 11 and len(set(asked)) == len(asked)


def test_ranks_by_how_far_each_layer_alone_moves_the_logits(touchy):
    network, rows = touchy
    ready = prepare(network)
    order = ranked(ready, rows, lambda only: quantize_static(ready, rows, only=only))
    exact = logits_of(network, rows)
    moved = [np.mean((logits_of(quantize_static(network, rows, only=each), rows) - exact) ** 2) for each in order]
    assert moved == sorted(moved, reverse=True)
    assert order[0][0] in names_of(network)[1:3]


def test_the_same_network_and_rows_give_the_same_bytes(touchy):
    network, rows = touchy
    first, second = (mixed(network, rows[:100], rows, "cross_entropy") for _ in range(2))
    assert first.network.SerializeToString(deterministic=True) == second.network.SerializeToString(deterministic=True)
    assert first.network.producer_name == "ingot" and first.network.graph.name == "network"


def test_one_row_is_enough_and_none_is_refused(touchy):
    network, rows = touchy
    assert keep_touchiest_float(network, rows[:1], lambda _: 0.0, 0.0).kept_float == ()
    with pytest.raises(ConfigError, match="the calibration set is empty"):
        keep_touchiest_float(network, rows[:0], lambda _: 0.0, 0.0)


@pytest.mark.parametrize(
    ("loss", "exact", "found", "expected"),
    [
        ("cross_entropy", [[1, 0], [0, 1], [2, 1], [0, 3]], [[2, 0], [1, 0], [9, 1], [0, 1]], 0.25),
        ("bce", [[1], [-1], [2], [-3]], [[2], [1], [1], [-1]], 0.25),
        ("mse", [[1], [1], [1], [1]], [[1], [1], [2], [0]], 0.5**0.5),
    ],
)
def test_changed_answers_are_counted_as_the_loss_reads_logits(monkeypatch, loss, exact, found, expected):
    logits = {"float": np.float32(exact), "other": np.float32(found)}
    monkeypatch.setattr("tasks.compressors.sensitivity.logits_of", lambda network, _: logits[network])
    assert changed_answers("float", np.zeros((4, 1)), loss)("other") == pytest.approx(expected)


def test_image_networks_take_all_operators_and_others_the_products():
    images = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))
    assert operators_of(export_network(images, np.ones((2, 1, 8, 8), np.float32), 20)) == "all"
    assert operators_of(export_network(nn.Linear(3, 2), np.ones((2, 3), np.float32), 20)) == "products"
