"""Update rules against numpy, the schedule against torch's."""

import numpy as np
import pytest
import torch
from torch import nn

from tasks.trainers.optimizers import learning_rate_at, make_optimizer, optimizer_tensors, restore_optimizer

torch.set_num_threads(1)


def one_weight(value=2.0, bias=3.0):
    module = nn.Linear(1, 1)
    with torch.no_grad():
        module.weight.fill_(value)
        module.bias.fill_(bias)
    return module


def steps(module, name, gradients, **settings):
    rule = make_optimizer(module, name, **{"learning_rate": 0.1, "l2": 0.0, "full_batch": False, **settings})
    for gradient in gradients:
        for parameter in module.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        rule.step()
    return module.weight.item(), module.bias.item()


def test_sgd_has_momentum_in_mini_batches_and_none_in_full_batches():
    # v = 0.9 v + g; w -= 0.1 v
    assert steps(one_weight(), "sgd", [1.0, 1.0])[0] == pytest.approx(2 - 0.1 * 1 - 0.1 * 1.9)
    assert steps(one_weight(), "sgd", [1.0, 1.0], full_batch=True)[0] == pytest.approx(2 - 0.1 - 0.1)


def test_l2_pulls_weights_and_never_biases():
    weight, bias = steps(one_weight(), "sgd", [0.0], l2=0.5)
    assert (weight, bias) == (pytest.approx(2 - 0.1 * 0.5 * 2), 3.0)


def test_adam_counts_l2_into_the_gradient_and_adamw_beside_it():
    def adam(weight, gradients, coupled, decoupled):
        first = second = 0.0
        for t, gradient in enumerate(gradients, start=1):
            weight -= 0.1 * decoupled * weight
            g = gradient + coupled * weight
            first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
            weight -= 0.1 * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
        return weight

    gradients = [0.3, -1.0, 0.7]
    assert steps(one_weight(), "adam", gradients, l2=0.2)[0] == pytest.approx(adam(2.0, gradients, 0.2, 0.0), rel=1e-5)
    assert steps(one_weight(), "adamw", gradients, l2=0.2)[0] == pytest.approx(adam(2.0, gradients, 0.0, 0.2), rel=1e-5)
    assert steps(one_weight(), "adamw", gradients, l2=0.2)[1] == pytest.approx(adam(3.0, gradients, 0.0, 0.0), rel=1e-5)


def test_frozen_parameters_are_left_alone():
    module = one_weight()
    module.weight.requires_grad_(False)
    assert steps(module, "adam", [1.0], l2=0.5)[0] == 2.0


def test_the_cosine_is_torchs():
    rule = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(rule, T_max=25)
    for step in range(25):
        assert learning_rate_at(step, 25, 0.3, "cosine") == pytest.approx(theirs.get_last_lr()[0])
        assert learning_rate_at(step, 25, 0.3, "constant") == 0.3
        rule.step()
        theirs.step()


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_restored_optimizer_goes_on_to_the_bit(name):
    straight = steps(one_weight(), name, [0.5, -0.2, 0.9])
    module = one_weight()
    settings = {"learning_rate": 0.1, "l2": 0.0, "full_batch": False}
    first = make_optimizer(module, name, **settings)
    for i, gradient in enumerate([0.5, -0.2, 0.9]):
        if i == 2:
            kept = {key: value.clone() for key, value in optimizer_tensors(module, first).items()}
            first = make_optimizer(module, name, **settings)
            restore_optimizer(module, first, kept)
        for parameter in module.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        first.step()
    assert (module.weight.item(), module.bias.item()) == straight
