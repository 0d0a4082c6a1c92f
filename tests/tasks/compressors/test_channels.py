import copy
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tasks.compressors.channels import prune_channels, replay
from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import ModelError
from tasks.models import zoo
from tasks.models.rows import example
from tasks.models.transformer import Attention

TEXT = {"input_shape": (10,), "output_size": 3, "vocabulary_size": 40}
IMAGES = {"input_shape": (1, 8, 8), "output_size": 3}
ARCHITECTURES = {
    "mlp": Architecture(family="mlp", input_shape=(12,), output_size=3, hidden_sizes=(16, 8), dropout=0.1),
    "one logit": Architecture(family="mlp", input_shape=(12,), output_size=1, hidden_sizes=(16, 8)),
    "mlp on images": Architecture(family="mlp", hidden_sizes=(16, 8), **IMAGES),
    "mlp on text": Architecture(family="mlp", hidden_sizes=(16, 8), **TEXT),
    "linear on text": Architecture(family="linear", hidden_sizes=(), **TEXT),
    "cnn": Architecture(family="cnn", hidden_sizes=(8, 16), **IMAGES),
    "cnn on text": Architecture(family="cnn", hidden_sizes=(12, 4, 8, 8), **TEXT),
    "resnet": Architecture(family="resnet", hidden_sizes=(8, 8, 16, 16), **IMAGES),
    "transformer on text": Architecture(family="transformer", hidden_sizes=(64, 32), **TEXT),
    "transformer on a table": Architecture(family="transformer", input_shape=(6,), output_size=1, hidden_sizes=(32,)),
}


def build(name: str, seed: int = 0):
    return zoo.build(ARCHITECTURES[name], seed=seed), example(ARCHITECTURES[name], 4)


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def answer(module: nn.Module, rows) -> torch.Tensor:
    with torch.no_grad():
        return module.eval()(rows)


def kept(dense, pruned) -> np.ndarray:
    """Which entries of a vector of distinct numbers are still there."""
    return np.isin(np.asarray(dense.detach()), np.asarray(pruned.detach()))


@pytest.mark.parametrize("ratio", [0.25, 0.5])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_family_shrinks_and_still_answers(name, ratio):
    module, rows = build(name)
    pruned, history = prune_channels(module, rows, ratio)
    assert answer(pruned, rows).shape == answer(module, rows).shape
    assert torch.isfinite(answer(pruned, rows)).all()
    assert size(pruned) < (1 - 0.8 * ratio) * size(module)
    assert history


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_replaying_the_history_on_an_untrained_network_fits_the_weights(name):
    module, rows = build(name)
    pruned, history = prune_channels(module, rows, 0.5)
    rebuilt = replay(build(name, seed=9)[0], json.loads(json.dumps(history)))
    rebuilt.load_state_dict(pruned.state_dict(), strict=True)
    assert torch.equal(answer(rebuilt, rows), answer(pruned, rows))
    assert str(rebuilt) == str(pruned)


def test_a_unit_that_is_cut_is_a_unit_that_was_zero(randomised):
    module, rows = build("mlp")
    randomised(module)
    pruned, _ = prune_channels(module, rows, 0.5)
    zeroed = copy.deepcopy(module)
    for before, after in zip(zeroed.hidden, pruned.hidden, strict=True):
        stays = kept(before[0].bias, after[0].bias)
        assert stays.sum() == len(stays) // 2
        with torch.no_grad():
            before[0].weight[~stays] = 0
            before[0].bias[~stays] = 0
    torch.testing.assert_close(answer(pruned, rows), answer(zeroed, rows))


@pytest.mark.parametrize("name", ["cnn", "resnet"])
def test_a_channel_that_is_cut_is_a_channel_that_was_zero(name, randomised):
    module, rows = build(name)
    randomised(module)
    pruned, _ = prune_channels(module, rows, 0.5)
    zeroed = copy.deepcopy(module)
    pairs = [
        (before, after)
        for before, after in zip(zeroed.modules(), pruned.modules(), strict=True)
        if isinstance(before, nn.BatchNorm2d)
    ]
    assert len(pairs) == (2 if name == "cnn" else 10)
    for before, after in pairs:
        stays = kept(before.weight, after.weight)
        assert stays.sum() == len(stays) // 2
        with torch.no_grad():
            before.weight[~stays] = 0
            before.bias[~stays] = 0
    torch.testing.assert_close(answer(pruned, rows), answer(zeroed, rows))


def test_a_window_that_is_cut_is_a_window_that_was_zero(randomised):
    module, rows = build("cnn on text")
    randomised(module)
    pruned, _ = prune_channels(module, rows, 0.5)
    zeroed = copy.deepcopy(module)
    with torch.no_grad():
        words = kept(zeroed.vectors.weight[5], pruned.vectors.weight[5])
        assert words.sum() == 6
        zeroed.vectors.weight[:, ~words] = 0
        for before, after in zip(zeroed.windows, pruned.windows, strict=True):
            stays = kept(before[1].bias, after[1].bias)
            before[1].weight[~stays] = 0
            before[1].bias[~stays] = 0
    torch.testing.assert_close(answer(pruned, rows), answer(zeroed, rows))


class Attending(nn.Module):
    """Attention straight on the rows, so that nothing around it is cut."""

    def __init__(self):
        super().__init__()
        self.attention = Attention(32, 2)

    def forward(self, rows):
        return self.attention(rows, None).mean(1)


def test_attention_loses_the_same_places_in_every_head_and_keeps_its_scale(randomised):
    module = randomised(Attending())
    rows = torch.randn(3, 5, 32, generator=torch.Generator().manual_seed(0))
    pruned, _ = prune_channels(module, rows, 0.25)
    zeroed = copy.deepcopy(module)
    stays = kept(zeroed.attention.value.bias, pruned.attention.value.bias)
    assert stays.reshape(2, 16).sum(1).tolist() == [12, 12]
    with torch.no_grad():
        for layer in (zeroed.attention.query, zeroed.attention.key, zeroed.attention.value):
            layer.weight[~stays] = 0
            layer.bias[~stays] = 0
    torch.testing.assert_close(answer(pruned, rows), answer(zeroed, rows))
    assert pruned.attention.output.out_features == 32


def test_the_weakest_go_by_the_l2_norm_of_what_reads_and_writes_them(randomised):
    module = randomised(nn.Sequential(nn.Linear(5, 20), nn.ReLU(), nn.Linear(20, 3)))
    pruned, _ = prune_channels(module, torch.ones(2, 5), 0.4)
    norms = module[0].weight.square().sum(1) + module[2].weight.square().sum(0)
    weakest = np.argsort(norms.detach().numpy())[:8]
    assert np.flatnonzero(~kept(module[0].bias, pruned[0].bias)).tolist() == sorted(weakest.tolist())


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.floats(0.01, 0.99), st.sampled_from([1, 4, 8]))
def test_the_ratio_is_the_share_of_channels_removed_and_one_is_always_left(width, ratio, round_to):
    module = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 50), nn.ReLU(), nn.Linear(50, 2))
    pruned, _ = prune_channels(module, np.ones((2, 3), np.float32), max(ratio, 0.2), round_to=round_to)
    for layer, before in ((pruned[0], width), (pruned[2], 50)):
        exact = max(1, before - round(before * max(ratio, 0.2)))
        assert exact <= layer.out_features < exact + round_to
        assert layer.out_features in (before, -(-exact // round_to) * round_to)


def test_the_module_given_stays_as_it_was():
    module, rows = build("resnet")
    module.train()
    next(module.parameters()).requires_grad_(False)
    before = copy.deepcopy(module.state_dict())
    pruned, _ = prune_channels(module, rows, 0.5)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert module.training
    assert pruned.training
    assert [p.requires_grad for p in pruned.parameters()] == [p.requires_grad for p in module.parameters()]
    assert not next(pruned.parameters()).requires_grad


def test_the_same_network_is_cut_in_the_same_way():
    module, rows = build("transformer on text")
    (one, history), (other, again) = (prune_channels(module, rows, 0.5) for _ in range(2))
    assert history == again
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_histories_of_two_cuts_are_replayed_one_after_the_other():
    module, rows = build("cnn")
    once, first = prune_channels(module, rows, 0.25)
    twice, second = prune_channels(once, rows, 0.5)
    rebuilt = replay(build("cnn", seed=3)[0], first + second)
    rebuilt.load_state_dict(twice.state_dict())
    assert torch.equal(answer(rebuilt, rows), answer(twice, rows))


def test_a_pruned_network_can_be_trained():
    module, rows = build("transformer on text")
    pruned, _ = prune_channels(module, rows, 0.5)
    pruned.train()(rows).square().sum().backward()
    assert all(
        parameter.grad is not None and parameter.grad.shape == parameter.shape for parameter in pruned.parameters()
    )


class Recurrent(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.embed = nn.Embedding(30, 8)
        self.cell = cell(8, 6, batch_first=True, bidirectional=True, num_layers=2)
        self.head = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 3))

    def forward(self, ids):
        return self.head(self.cell(self.embed(ids))[0].mean(1))


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_cells_and_what_feeds_them_are_left_whole_and_the_rest_is_cut(cell):
    pruned, _ = prune_channels(Recurrent(cell), np.arange(20).reshape(2, 10), 0.5)
    assert (pruned.embed.embedding_dim, pruned.cell.hidden_size, pruned.head[0].in_features) == (8, 6, 12)
    assert pruned.head[0].out_features == 10


class TorchTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 24, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, ids):
        return self.head(self.layers(self.embed(ids), src_key_padding_mask=ids == 0).mean(1))


def test_torchs_own_attention_is_left_whole_and_the_feed_forward_is_cut():
    rows = np.arange(1, 21).reshape(2, 10)
    module = TorchTransformer()
    pruned, history = prune_channels(module, rows, 0.5)
    assert [layer.linear1.out_features for layer in pruned.layers.layers] == [12, 12]
    assert pruned.embed.embedding_dim == pruned.layers.layers[0].self_attn.embed_dim == 8
    rebuilt = replay(TorchTransformer(), history)
    rebuilt.load_state_dict(pruned.state_dict())
    assert torch.equal(answer(rebuilt, torch.tensor(rows)), answer(pruned, torch.tensor(rows)))


class Odd(nn.Module):
    """Depthwise and grouped convolutions, a group norm, a parameter of its own, two heads joined, a softened end."""

    def __init__(self):
        super().__init__()
        self.plain = nn.Conv2d(1, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.normed = nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.GroupNorm(4, 8)
        self.free = nn.Conv2d(8, 8, 1)
        self.scale = nn.Parameter(torch.linspace(1, 2, 8).reshape(1, 8, 1, 1))
        self.heads = nn.ModuleList([nn.Linear(8, 2), nn.Linear(8, 1)])

    def forward(self, images):
        hidden = torch.relu(self.depthwise(self.plain(images)))
        hidden = self.norm(self.normed(self.grouped(hidden)))
        hidden = (torch.relu(self.free(hidden)) * self.scale).mean((2, 3))
        return torch.cat([head(hidden) for head in self.heads], 1) / 2


def test_what_cannot_lose_single_channels_is_left_whole():
    rows = torch.randn(2, 1, 6, 6)
    module = Odd()
    pruned, history = prune_channels(module, rows, 0.5)
    assert [layer.out_channels for layer in (pruned.plain, pruned.grouped, pruned.normed, pruned.free)] == [8, 8, 8, 4]
    assert pruned.scale.shape == (1, 4, 1, 1)
    assert [head.out_features for head in pruned.heads] == [2, 1]
    rebuilt = replay(Odd(), history)
    rebuilt.load_state_dict(pruned.state_dict())
    assert torch.equal(answer(rebuilt, rows), answer(pruned, rows))


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(family="linear", input_shape=(10,), output_size=1, hidden_sizes=()),
        Architecture(family="rnn", hidden_sizes=(12, 8), **TEXT),
        Architecture(family="rnn", hidden_sizes=(12, 8), cell="gru", **TEXT),
        Architecture(family="mlp", input_shape=(4,), output_size=2, hidden_sizes=(1,)),
    ],
    ids=lambda each: f"{each.family} {each.cell}",
)
def test_a_network_with_nothing_to_cut_is_refused_with_the_mend(architecture):
    module = zoo.build(architecture)
    with pytest.raises(ModelError) as caught:
        prune_channels(module, example(architecture, 2), 0.5)
    mend = "set prune.ratios to [], or prune.method to magnitude"
    assert str(caught.value) == f"the network has no channels that could be cut at ratio 0.5: {mend}"


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.second = nn.Linear(6, 2)

    def forward(self, rows):
        return self.second(self.first(rows).view(-1, 6))


def test_a_network_with_a_size_fixed_in_its_forward_is_refused_with_the_mend():
    with pytest.raises(ModelError, match="does not run with channels removed .*: read sizes off the tensors") as caught:
        prune_channels(Fixed(), torch.ones(2, 4), 0.5)
    assert "prune.method to magnitude" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "history",
    [
        [{"module": "gone", "shapes": {"weight": [1]}, "attributes": {}}],
        [{"module": "head", "shapes": {"weight": [99, 99]}, "attributes": {}}],
        [{"module": "head", "shapes": {"wait": [1]}, "attributes": {}}],
        [{"name": "head"}],
    ],
)
def test_a_history_of_another_network_is_refused(history):
    with pytest.raises(ModelError, match="the pruning history is of another network .*: use the file's own"):
        replay(build("mlp")[0], history)


def test_an_empty_history_changes_nothing():
    module, rows = build("mlp")
    before = answer(module, rows)
    assert torch.equal(answer(replay(module, []), rows), before)
