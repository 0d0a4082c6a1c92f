"""Every family on every kind of rows: shapes, refusals, repeatability, padding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import ModelError
from tasks.models import zoo
from tasks.models.rows import example

torch.set_num_threads(1)

TEXT = {"input_shape": (9,), "vocabulary_size": 30}
IMAGES = {"input_shape": (1, 8, 8)}
TABLE = {"input_shape": (7,)}
READERS = {
    "linear": (TEXT, IMAGES, TABLE),
    "mlp": (TEXT, IMAGES, TABLE),
    "cnn": (TEXT, IMAGES),
    "resnet": (IMAGES,),
    "rnn": (TEXT, IMAGES, TABLE),
    "transformer": (TEXT, IMAGES, TABLE),
}
FITTING = [(family, rows) for family, kinds in READERS.items() for rows in kinds]


def architecture(family, rows, **more):
    return Architecture(**{"family": family, "output_size": 3, "hidden_sizes": (16, 8), "dropout": 0.5, **rows, **more})


@pytest.mark.parametrize(("family", "rows"), FITTING)
@pytest.mark.parametrize("output_size", [1, 3])
def test_answers_every_row_with_logits_and_learns_from_them(family, rows, output_size):
    this = architecture(family, rows, output_size=output_size)
    module = zoo.build(this)
    logits = module(example(this, rows=5))
    assert logits.shape == (5, output_size)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_rnn_is_made_of_the_asked_cell(cell):
    module = zoo.build(architecture("rnn", TEXT, cell=cell))
    layers = [layer for layer in module.modules() if isinstance(layer, nn.RNNBase)]
    assert [type(layer) for layer in layers] == [{"lstm": nn.LSTM, "gru": nn.GRU}[cell]] * 2


@pytest.mark.parametrize(("family", "rows"), FITTING)
def test_rows_do_not_disturb_one_another(family, rows):
    this = architecture(family, rows)
    module, batch = zoo.build(this).eval(), example(this, rows=6)
    torch.testing.assert_close(module(batch)[2:3], module(batch[2:3]))


@pytest.mark.parametrize("family", ["linear", "mlp", "cnn", "rnn", "transformer"])
def test_padding_behind_a_text_never_changes_its_answer(family):
    short, long = architecture(family, TEXT), architecture(family, {**TEXT, "input_shape": (20,)})
    module, wider = zoo.build(short).eval(), zoo.build(long).eval()
    weights = dict(module.state_dict())
    if family == "transformer":
        weights["positions.weight"] = torch.cat([weights["positions.weight"], torch.ones(11, 16)])
    wider.load_state_dict(weights)
    words = torch.randint(1, 30, (4, 9), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(module(words), wider(nn.functional.pad(words, (0, 11))))


@pytest.mark.parametrize("family", ["linear", "mlp", "cnn", "rnn", "transformer"])
def test_a_text_without_words_gets_a_finite_answer(family):
    assert zoo.build(architecture(family, TEXT)).eval()(torch.zeros(2, 9, dtype=torch.int64)).isfinite().all()


@given(
    family=st.sampled_from(sorted(READERS)),
    sides=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)),
    hidden_sizes=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    rows=st.integers(1, 4),
    output_size=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_images_of_any_size_pass_any_number_of_stages(family, sides, hidden_sizes, rows, output_size):
    this = Architecture(family=family, input_shape=sides, output_size=output_size, hidden_sizes=hidden_sizes)
    assert zoo.build(this).eval()(example(this, rows)).shape == (rows, output_size)


@given(
    family=st.sampled_from(["linear", "mlp", "rnn", "transformer", "cnn"]),
    length=st.integers(1, 15),
    vocabulary_size=st.sampled_from([0, 2, 40]),
    hidden_sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    rows=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_rows_and_texts_of_any_length_are_read(family, length, vocabulary_size, hidden_sizes, rows):
    this = Architecture(
        family=family if vocabulary_size or family != "cnn" else "mlp",
        input_shape=(length,),
        output_size=2,
        hidden_sizes=hidden_sizes,
        vocabulary_size=vocabulary_size,
    )
    assert zoo.build(this).eval()(example(this, rows)).shape == (rows, 2)


@pytest.mark.parametrize(
    ("family", "rows", "mend"),
    [
        ("cnn", TABLE, "but must fit tabular rows of shape (7,): take linear, mlp, rnn or transformer"),
        ("resnet", TABLE, "but must fit tabular rows of shape (7,): take linear, mlp, rnn or transformer"),
        ("resnet", TEXT, "but must fit text rows of shape (9,): take linear, mlp, cnn, rnn or transformer"),
    ],
)
def test_refuses_a_family_that_cannot_read_the_rows_and_lists_those_that_can(family, rows, mend):
    with pytest.raises(ModelError) as caught:
        zoo.build(architecture(family, rows))
    assert str(caught.value) == f"train.family is {family}, {mend}"


@pytest.mark.parametrize("family", ["cnn", "resnet", "rnn", "transformer"])
def test_refuses_no_hidden_sizes_where_one_is_needed(family):
    with pytest.raises(ModelError, match=r"^train.hidden_sizes is empty, but must hold one size or more for family"):
        zoo.build(architecture(family, IMAGES, hidden_sizes=()))


def test_mlp_without_hidden_sizes_is_the_linear_model():
    shapes = [p.shape for p in zoo.build(architecture("mlp", IMAGES, hidden_sizes=())).parameters()]
    assert shapes == [p.shape for p in zoo.build(architecture("linear", IMAGES)).parameters()]


@pytest.mark.parametrize(("family", "rows"), FITTING)
def test_the_seed_alone_decides_the_weights(family, rows):
    torch.manual_seed(1)
    first = zoo.build(architecture(family, rows), seed=5).state_dict()
    torch.manual_seed(2)
    again = zoo.build(architecture(family, rows), seed=5).state_dict()
    other = zoo.build(architecture(family, rows), seed=6).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_building_leaves_the_callers_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    zoo.build(architecture("mlp", TABLE))
    assert torch.equal(torch.rand(4), expected)


def test_parameter_counts_are_those_of_the_papers():
    def count(**fields):
        module = zoo.build(Architecture(output_size=10, **fields))
        return sum(p.numel() for p in module.parameters() if p.requires_grad)

    assert count(family="mlp", input_shape=(1, 28, 28), hidden_sizes=(256, 128)) == 235_146
    resnet20 = (16, 16, 16, 32, 32, 32, 64, 64, 64)
    # 0.27 M in table 6 of the paper; its shortcuts have no parameters, our two 1x1 convolutions have 2,752.
    assert count(family="resnet", input_shape=(3, 32, 32), hidden_sizes=resnet20) == 269_722 + 2_752
    assert 1.2e6 < count(family="cnn", input_shape=(1, 28, 28), hidden_sizes=(64, 128, 256, 384)) < 1.3e6


def test_dropout_acts_in_training_and_not_in_evaluation():
    for family, rows in FITTING:
        this = architecture(family, rows)
        module, batch = zoo.build(this), example(this, rows=4)
        if family != "linear":
            assert not torch.equal(module(batch), module(batch)), family
        module.eval()
        assert torch.equal(module(batch), module(batch)), family
