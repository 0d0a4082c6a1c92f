"""Dropout falls with the share of weights that are left."""

import pytest
import torch
from torch import nn

from tasks.compressors.dropout import ease
from tasks.contracts.artifacts import Architecture

ARCHITECTURE = Architecture(family="mlp", input_shape=(4,), output_size=2, hidden_sizes=(8,), dropout=0.4)


def test_every_rate_is_scaled_and_the_architecture_says_so():
    module = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.4), nn.Sequential(nn.Dropout1d(0.2)), nn.Linear(8, 2))
    eased = ease(module, ARCHITECTURE, 0.25)
    assert module[1].p == pytest.approx(0.1) and module[2][0].p == pytest.approx(0.05)
    assert eased.dropout == pytest.approx(0.1) and eased.hidden_sizes == (8,)


def test_so_many_units_are_dropped():
    module = nn.Dropout(0.4)
    ease(module, ARCHITECTURE, 0.5)
    torch.manual_seed(0)
    assert (module(torch.ones(100_000)) == 0).float().mean() == pytest.approx(0.2, abs=0.01)


def test_a_network_that_lost_nothing_keeps_its_rates():
    module = nn.Dropout(0.4)
    assert ease(module, ARCHITECTURE, 1.0) == ARCHITECTURE and module.p == 0.4
    ease(module, ARCHITECTURE, 1.7)
    assert module.p == 0.4
