"""Gradual magnitude pruning, against the paper's equation written out and torch's own global pruning."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as torch_prune

from tasks.compressors.gradual import Sparsifier, Sparsity
from tasks.compressors.magnitude import masks_of, sparsity


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(16, 32), nn.Linear(32, 3))


def zeros(module):
    return {name: (value == 0) for name, value in module.named_parameters() if value.dim() > 1}


def moved(module, optimizer):
    optimizer.zero_grad()
    module(torch.randn(8, 2, 6)).square().sum().backward()
    optimizer.step()


def test_the_share_is_that_of_equation_one():
    final, begin, interval, count = 0.95, 0, 20, 30
    plan = Sparsity(final, ramp=0.6, updates=count)
    for step in range(begin, 1001):
        update = min(step // interval, count)  # t runs over t0, t0 + dt, ..., t0 + n dt
        t = begin + update * interval
        expected = final + (0 - final) * (1 - (t - begin) / (count * interval)) ** 3
        assert plan.at(step, 1000) == pytest.approx(expected)


@given(st.floats(0.01, 0.99), st.floats(0.05, 1), st.integers(1, 50), st.integers(1, 2000))
def test_the_share_only_rises_and_reaches_what_was_asked_within_the_ramp(share, ramp, updates, steps):
    plan = Sparsity(share, ramp, updates)
    shares = [plan.at(step, steps) for step in range(steps + 1)]
    assert shares[0] == 0 and shares[-1] == share
    assert shares == sorted(shares)
    assert len(set(shares)) <= updates + 1
    assert 1 <= plan.end(steps) <= max(1, round(ramp * steps)) and shares[plan.end(steps)] == share


@pytest.mark.parametrize("steps", [1, 7, 60])
def test_masks_follow_the_schedule_and_then_stay(steps):
    module, plan = network(), Sparsity(0.8, updates=10)
    sparsifier, optimizer = Sparsifier(module, plan), torch.optim.Adam(module.parameters(), 0.01)
    last = zeros(module)
    for step in range(1, steps + 1):
        if step % 5 == 1:
            sparsifier.begin()  # an epoch of five steps
        moved(module, optimizer)
        sparsifier.apply(step, steps)
        now = zeros(module)
        assert sparsity(module) == pytest.approx(plan.at(step, steps), abs=0.002)
        assert all(bool((now[name] | ~last[name]).all()) for name in now), "a zero came alive"
        if step > plan.end(steps):
            assert all(torch.equal(now[name], last[name]) for name in now)
        last = now
    assert sparsifier.settled(steps, steps)
    assert not any(bool(torch.signbit(p[p == 0]).any()) for p in module.parameters())


def test_an_update_takes_what_torchs_global_pruning_takes():
    module = network()
    other = copy.deepcopy(module)
    Sparsifier(module, Sparsity(0.7)).apply(1, 1)
    layers = [(other[i], "weight") for i in (0, 3, 4)]
    torch_prune.global_unstructured(layers, pruning_method=torch_prune.L1Unstructured, amount=0.7)
    for i in (0, 3, 4):
        np.testing.assert_array_equal(module[i].weight.detach(), other[i].weight.detach())


def test_an_epoch_begins_with_what_the_weights_say():
    module = network()
    with torch.no_grad():
        module[3].weight[:, ::2] = 0
    sparsifier, optimizer = Sparsifier(module, Sparsity()), torch.optim.SGD(module.parameters(), 0.01)
    sparsifier.begin()
    moved(module, optimizer)
    sparsifier.apply(1, 1)
    assert not module[3].weight[:, ::2].any() and module[3].weight[:, 1::2].all()
    assert list(masks_of(module)) == ["3.weight"]
    assert sparsifier.settled(0, 1)


def test_no_sparsity_leaves_every_weight_alone():
    module = network()
    before = copy.deepcopy(module.state_dict())
    sparsifier = Sparsifier(module, None)
    sparsifier.begin()
    sparsifier.apply(1, 1)
    assert sparsifier.settled(0, 1)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
