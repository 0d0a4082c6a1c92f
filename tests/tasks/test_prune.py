"""From dense to smaller, and on: what the two doors that train make of a plan."""

import pytest
import torch

from tasks.compressors.magnitude import sparsity
from tasks.contracts.artifacts import Plan
from tasks.contracts.config import PruneConfig
from tasks.contracts.errors import ModelError
from tasks.finetune import finetune
from tasks.prune import prune


def pruned(bench, plan, epochs=3, **config):
    form = PruneConfig(**config)
    knobs = {"dataset": bench.dataset, "config": form, "training": bench.training, "run": bench.run}
    return prune.fn(bench.dense, plan=plan, epochs=epochs, **knobs)


def finetuned(bench, network, epochs=2, **config):
    form = PruneConfig(**config)
    knobs = {"dataset": bench.dataset, "config": form, "training": bench.training, "run": bench.run}
    return finetune.fn(network, dense=bench.dense, epochs=epochs, **knobs)


def hidden(module):
    return [layer.out_features for layer in module.modules() if isinstance(layer, torch.nn.Linear)][:-1]


def zeros(module):
    return {name: value == 0 for name, value in module.named_parameters() if value.dim() > 1}


def test_channels_are_cut_to_a_multiple_and_go_on_with_their_history(bench):
    network = pruned(bench, Plan(ratio=0.5), round_to=5)
    assert (network.name, network.epochs) == ("channels-50", 3)
    assert hidden(bench.module(network)) == [25, 20]
    assert network.parameters < bench.dense.parameters / 1.5
    further = finetuned(bench, network)
    assert (further.name, further.epochs) == ("channels-50", 5)
    assert hidden(bench.module(further)) == [25, 20]
    assert further.parameters == network.parameters and further.file.sha256 != network.file.sha256
    assert further.metric > 0.9


def test_zeros_come_gradually_and_never_go(bench):
    network = pruned(bench, Plan(sparsity=0.8))
    before = bench.module(network)
    assert sparsity(before) == pytest.approx(0.8, abs=0.001)
    further = finetuned(bench, network)
    after = bench.module(further)
    assert all(torch.equal(zeros(before)[name], found) for name, found in zeros(after).items())
    assert not torch.equal(before.head.weight, after.head.weight)
    assert further.parameters == network.parameters == int(sum((p != 0).sum() for p in after.parameters()))
    assert not any(bool(torch.signbit(p[p == 0]).any()) for p in after.parameters())


def test_channels_and_weights_are_cut_both(bench):
    network = pruned(bench, Plan(ratio=0.5, sparsity=0.5))
    module = bench.module(finetuned(bench, network))
    assert hidden(module) == [24, 16] and sparsity(module) == pytest.approx(0.5, abs=0.001)


def test_without_epochs_weights_are_zeroed_at_once(bench):
    network = pruned(bench, Plan(sparsity=0.8), epochs=0)
    module, dense = bench.module(network), bench.module(bench.dense)
    assert sparsity(module) == pytest.approx(0.8, abs=0.001) and network.epochs == 0
    assert all(torch.equal(p[p != 0], dense.get_parameter(name)[p != 0]) for name, p in module.named_parameters())


def test_a_student_learns_as_long_as_dense_did_and_can_be_read_again(bench):
    network = pruned(bench, Plan(hidden_sizes=(24,)), epochs=1)
    assert (network.name, network.epochs) == ("student-24", bench.training.epochs)
    assert network.architecture.hidden_sizes == (24,) and hidden(bench.module(network)) == [24]
    assert network.metric > 0.9
    assert hidden(bench.module(finetuned(bench, network))) == [24]


def test_a_student_is_taught_whatever_the_form_says(bench):
    assert pruned(bench, Plan(hidden_sizes=(8,))) == pruned(bench, Plan(hidden_sizes=(8,)), distill=True)
    cut = Plan(ratio=0.5)
    assert pruned(bench, cut).file.sha256 != pruned(bench, cut, distill=True).file.sha256


def test_the_same_plan_gives_the_same_bytes(bench):
    plan = Plan(ratio=0.25, sparsity=0.5)
    one, other = (finetuned(bench, pruned(bench, plan)) for _ in range(2))
    assert one == other


def test_the_curve_of_a_network_goes_on_from_round_to_round(bench):
    finetuned(bench, pruned(bench, Plan(ratio=0.5)))
    assert [epoch for epoch, _ in bench.curve("channels-50/loss")] == [1, 2, 3, 4, 5]


def test_refuses_a_student_that_is_no_smaller(bench):
    with pytest.raises(ModelError) as caught:
        pruned(bench, Plan(hidden_sizes=(48, 32)))
    assert str(caught.value) == (
        "prune.students holds [48, 32], a network of 5018 weights, but must be smaller than the dense one with 5018: "
        "take smaller sizes, or leave it out"
    )
