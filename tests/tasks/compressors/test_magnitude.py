import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tasks.compressors.magnitude import apply, prune_weights, sparsity
from tasks.contracts.errors import ModelError


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(2, 4, 3),
        nn.BatchNorm1d(4),
        nn.Flatten(),
        nn.Linear(16, 8),
        nn.LayerNorm(8),
        nn.ReLU(),
        nn.Linear(8, 3),
    )


def weights(module):
    return np.concatenate([module[i].weight.detach().numpy().flatten() for i in (0, 3, 6)])


@settings(max_examples=25)
@given(st.floats(0.05, 0.9))
def test_the_smallest_weights_of_all_layers_together_become_zero(ratio):
    module = network()
    before = np.abs(weights(module))
    prune_weights(module, ratio)
    after = weights(module)
    cut = round(len(before) * ratio)
    assert (after == 0).sum() == cut
    threshold = np.sort(before)[cut - 1]
    np.testing.assert_array_equal(after == 0, before <= threshold)
    assert sparsity(module) == pytest.approx(cut / len(before))


def test_biases_and_norms_are_spared():
    module, masks = network(), None
    before = {name: value.clone() for name, value in module.state_dict().items()}
    masks = prune_weights(module, 0.9)
    assert sorted(masks) == ["0.weight", "3.weight", "6.weight"]
    for name, value in module.state_dict().items():
        if name not in masks:
            assert torch.equal(value, before[name])


def test_a_weight_of_each_layer_is_left_so_that_the_network_stays_in_one_piece():
    module = network()
    with torch.no_grad():
        module[6].weight.mul_(1e-6)
    prune_weights(module, 0.95)
    assert int(module[6].weight.count_nonzero()) == 1


def test_masks_hold_the_zeros_while_an_optimizer_with_momentum_moves_the_rest():
    module = network()
    masks = prune_weights(module, 0.5)
    optimizer = torch.optim.Adam(module.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        module(torch.randn(4, 2, 6)).square().sum().backward()
        optimizer.step()
        apply(module, masks)
    assert sparsity(module) == pytest.approx(0.5, abs=0.01)
    assert all(bool((module.get_parameter(name)[~mask] == 0).all()) for name, mask in masks.items())


def test_the_same_weights_give_the_same_masks():
    one, other = prune_weights(network(), 0.7), prune_weights(network(), 0.7)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_network_without_a_matrix_is_refused():
    with pytest.raises(
        ModelError, match=r"no weight matrix that could be cut: set prune\.ratios and prune\.sparsities to \[\]$"
    ):
        prune_weights(nn.LayerNorm(4), 0.5)
    assert sparsity(nn.LayerNorm(4)) == 0.0
