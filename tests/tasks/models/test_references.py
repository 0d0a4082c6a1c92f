"""The families against independent arithmetic: numpy forwards, finite differences, torch's own attention."""

import numpy as np
import torch

from tasks.contracts.artifacts import Architecture
from tasks.models import zoo
from tasks.models.cnn import TextCNN
from tasks.models.transformer import Attention
from tasks.models.words import mask, masked_mean

torch.set_num_threads(1)


def _mlp(hidden_sizes=(5, 4)):
    return zoo.build(Architecture(family="mlp", input_shape=(3,), output_size=2, hidden_sizes=hidden_sizes)).double()


def _numpy_forward(weights, x):
    layers = [*sorted({name.rsplit(".", 1)[0] for name in weights if name.startswith("hidden")}), "head"]
    for i, layer in enumerate(layers):
        x = x @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"]
        x = np.maximum(x, 0) if i < len(layers) - 1 else x
    return x


def test_mlp_answers_and_gradients_are_those_of_numpy():
    module, x = _mlp(), np.random.default_rng(0).normal(size=(6, 3))
    weights = {name: value.numpy().copy() for name, value in module.state_dict().items()}
    logits = module(torch.from_numpy(x))
    np.testing.assert_allclose(logits.detach().numpy(), _numpy_forward(weights, x), atol=1e-12)
    (logits**2).mean().backward()
    step = 1e-6
    for name, parameter in module.named_parameters():
        for place in np.ndindex(*parameter.shape):
            slope = 0.0
            for sign in (1, -1):
                moved = {key: value.copy() for key, value in weights.items()}
                moved[name][place] += sign * step
                slope += sign * (_numpy_forward(moved, x) ** 2).mean() / (2 * step)
            assert abs(slope - parameter.grad[place].item()) < 1e-7, (name, place)


def test_attention_is_torchs_own():
    ours, theirs = Attention(12, num_heads=3), torch.nn.MultiheadAttention(12, 3, batch_first=True)
    projections = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in projections]))
        theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in projections]))
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)
    words = torch.tensor([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])
    tokens = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(0))
    expected, _ = theirs(tokens, tokens, tokens, key_padding_mask=words == 0)
    torch.testing.assert_close(ours(tokens, mask(words)), expected)
    everything, _ = theirs(tokens, tokens, tokens)
    torch.testing.assert_close(ours(tokens, None), everything)


def test_masked_mean_is_the_mean_of_the_words_alone():
    vectors = torch.arange(24.0).reshape(2, 3, 4)
    words = torch.tensor([[5, 6, 0], [7, 0, 0]])
    expected = torch.stack([vectors[0, :2].mean(0), vectors[1, 0]])
    assert torch.equal(masked_mean(vectors, mask(words)), expected)


def test_text_cnn_takes_the_strongest_window_of_the_words():
    this = Architecture(family="cnn", input_shape=(6,), vocabulary_size=9, output_size=2, hidden_sizes=(4, 3, 2))
    module = TextCNN(this).eval()
    words = [3, 8, 2, 5]
    vectors = module.vectors.weight.detach().numpy()[words]
    strongest = []
    for window, (_, convolution, _) in enumerate(module.windows, start=3):
        before = (window - 1) // 2
        padded = np.pad(vectors, ((before, window), (0, 0)))
        kernel, bias = convolution.weight.detach().numpy(), convolution.bias.detach().numpy()
        answers = [np.einsum("kw,ckw->c", padded[i : i + window], kernel.transpose(0, 2, 1)) + bias for i in range(4)]
        strongest.append(np.maximum(answers, 0).max(0))
    head = {name: value.detach().numpy() for name, value in module.head.named_parameters()}
    expected = np.concatenate(strongest) @ head["weight"].T + head["bias"]
    actual = module(torch.tensor([[*words, 0, 0]])).detach().numpy()[0]
    np.testing.assert_allclose(actual, expected, atol=1e-5)
