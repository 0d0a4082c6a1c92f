"""What network a plan means, for every family that can be cut."""

import pytest
import torch

from tasks.compressors.channels import replay
from tasks.compressors.magnitude import prune_weights
from tasks.compressors.structure import structure
from tasks.contracts.artifacts import Architecture, Plan
from tasks.contracts.errors import ModelError
from tasks.models import zoo
from tasks.models.rows import example

MLP = Architecture(family="mlp", input_shape=(6,), output_size=3, hidden_sizes=(8, 4))


def made(plan, architecture=MLP, round_to=1):
    module = zoo.build(architecture)
    rows = example(architecture, 2)
    return module, structure(module, architecture, plan, rows, round_to=round_to, seed=0)


def test_a_plan_of_weights_alone_leaves_the_structure_and_the_weights():
    dense, found = made(Plan(sparsity=0.9))
    assert found.module is not dense and found.history == [] and found.architecture == MLP
    assert all(torch.equal(value, dense.state_dict()[name]) for name, value in found.module.state_dict().items())


@pytest.mark.parametrize(
    "architecture",
    [
        MLP,
        Architecture(family="cnn", input_shape=(1, 8, 8), output_size=3, hidden_sizes=(8, 8)),
        Architecture(family="resnet", input_shape=(1, 8, 8), output_size=3, hidden_sizes=(8, 8)),
        Architecture(family="transformer", input_shape=(5,), output_size=3, hidden_sizes=(16,), vocabulary_size=20),
    ],
)
def test_a_cut_network_is_rebuilt_from_architecture_and_history(architecture):
    _, found = made(Plan(ratio=0.5), architecture)
    again = replay(zoo.build(found.architecture, seed=5), found.history)
    again.load_state_dict(found.module.state_dict())
    rows = torch.as_tensor(example(architecture, 3))
    assert torch.equal(again.eval()(rows), found.module.eval()(rows))


def test_recurrent_cells_are_left_whole_but_lose_weights():
    rnn = Architecture(family="rnn", input_shape=(5,), output_size=3, hidden_sizes=(8,), vocabulary_size=20)
    with pytest.raises(ModelError, match="no channels that could be cut"):
        made(Plan(ratio=0.5), rnn)
    module = made(Plan(sparsity=0.5), rnn)[1].module
    assert any(name.startswith("layers.") for name in prune_weights(module, 0.5))


def test_channels_are_left_in_multiples():
    _, found = made(Plan(ratio=0.7), round_to=3)
    assert [layer.out_features for layer in found.module.modules() if isinstance(layer, torch.nn.Linear)] == [3, 3, 3]


def test_a_student_is_the_untrained_network_of_its_sizes():
    _, found = made(Plan(hidden_sizes=(5,)))
    expected = zoo.build(MLP.model_copy(update={"hidden_sizes": (5,)}), seed=0)
    assert found.history == [] and found.architecture.hidden_sizes == (5,)
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in found.module.state_dict().items())


@pytest.mark.parametrize(
    ("family", "sizes", "words"),
    [
        (
            "mlp",
            (8, 4),
            "prune.students holds [8, 4], a network of 107 weights, but must be smaller than the dense one",
        ),
        ("linear", (2,), "prune.students holds [2], a network of 21 weights, but must be smaller than the dense one"),
    ],
)
def test_refuses_a_student_that_is_no_smaller(family, sizes, words):
    with pytest.raises(ModelError) as caught:
        made(Plan(hidden_sizes=sizes), MLP.model_copy(update={"family": family}))
    assert str(caught.value).startswith(words)


def test_refuses_a_student_of_a_pretrained_model():
    pretrained = MLP.model_copy(update={"family": "pretrained"})
    with pytest.raises(ModelError, match=r"pretrained model has no sizes to choose: set prune\.students to \[\]$"):
        structure(zoo.build(MLP), pretrained, Plan(hidden_sizes=(2,)), example(MLP, 2), round_to=1, seed=0)


def test_refuses_to_zero_what_has_no_weights():
    with pytest.raises(ModelError, match="no weight matrix that could be cut"):
        structure(torch.nn.LayerNorm(6), MLP, Plan(sparsity=0.5), example(MLP, 2), round_to=1, seed=0)
