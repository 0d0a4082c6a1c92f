"""The launcher in this process: its threads, and nothing else."""

import numpy as np
import pytest
import torch

from tasks.contracts.artifacts import Architecture
from tasks.models import zoo
from tasks.trainers import local
from tasks.trainers.loop import Arrays, fit

SETTINGS = {
    "loss": "mse",
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "schedule": "cosine",
    "epochs": 2,
    "batch_size": 8,
    "l2": 0.0,
    "stop_loss": None,
    "patience": 0,
    "seed": 0,
}


def network():
    return zoo.build(Architecture(family="mlp", input_shape=(4,), output_size=1, hidden_sizes=(8,)))


def data():
    inputs = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    return Arrays(inputs, inputs.sum(1))


def test_trains_on_the_asked_threads_and_puts_the_number_back():
    torch.set_num_threads(1)
    seen = []
    local.fit(
        network(), data(), data(), threads=2, report=lambda epoch: seen.append(torch.get_num_threads()), **SETTINGS
    )
    assert seen == [2, 2]
    assert torch.get_num_threads() == 1
    with pytest.raises(ZeroDivisionError):
        local.fit(network(), data(), data(), threads=2, report=lambda epoch: 1 / 0, **SETTINGS)
    assert torch.get_num_threads() == 1


def test_is_the_loop_itself():
    torch.set_num_threads(1)
    by_launcher = local.fit(network(), data(), data(), threads=1, **SETTINGS).module.state_dict()
    by_loop = fit(network(), data(), data(), **SETTINGS).module.state_dict()
    assert all(torch.equal(by_launcher[name], by_loop[name]) for name in by_loop)
