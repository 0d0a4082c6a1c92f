import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import ModelError
from tasks.exporters.attributions import (
    MOST_SECONDS,
    STEPS,
    by_word,
    integrated_gradients,
    of_images,
    of_texts,
    pooled,
)
from tasks.models import zoo

IMAGES = {family: Architecture(family=family, input_shape=(1, 8, 8), output_size=3, hidden_sizes=(8, 8))
          for family in ("cnn", "mlp", "resnet", "rnn", "transformer")}  # fmt: skip
TEXTS = {family: Architecture(family=family, input_shape=(6,), output_size=3, hidden_sizes=(16, 16), vocabulary_size=20)
         for family in ("linear", "mlp", "cnn", "rnn", "transformer")}  # fmt: skip
TOKENS = np.array([[2, 3, 4, 5, 0, 0], [19, 1, 7, 7, 8, 9], [0, 0, 0, 0, 0, 0]])


@settings(deadline=None)  # the first gradient of a process takes half a second
@given(st.lists(st.floats(-10, 10), min_size=4, max_size=4), st.integers(1, 5))
def test_it_is_exact_on_a_linear_model(weights, steps):
    rows, against = torch.tensor([[1.0, -2.0, 0.5, 3.0]]), torch.tensor([0.5, 0.5, 0.0, 1.0])
    found = integrated_gradients(lambda points: points @ torch.tensor(weights), rows, against, steps)
    torch.testing.assert_close(found, (rows - against) * torch.tensor(weights), rtol=1e-4, atol=1e-4)


def test_it_is_exact_on_a_square_whose_gradient_is_a_line():
    found = integrated_gradients(lambda rows: (rows**2).sum(1), torch.tensor([[3.0, -1.0]]), torch.zeros(2), 1)
    torch.testing.assert_close(found, torch.tensor([[9.0, 1.0]]))


@pytest.mark.parametrize("family", IMAGES)
def test_attributions_of_an_image_sum_to_what_its_logit_gained(family):
    module = zoo.build(IMAGES[family], seed=0).eval()
    images = np.random.default_rng(0).normal(size=(5, 1, 8, 8)).astype(np.float32)
    black = np.full((1, 8, 8), -0.5, dtype=np.float32)
    found, classes = of_images(module, images, black)
    with torch.no_grad():
        gained = module(torch.from_numpy(images)) - module(torch.from_numpy(black[None]))
    expected = gained.numpy()[np.arange(5), classes]
    np.testing.assert_allclose(found.sum((1, 2, 3)), expected, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("family", TEXTS)
def test_attributions_of_a_text_sum_to_what_its_logit_gained(family):
    module = zoo.build(TEXTS[family], seed=0).eval()
    (embedding,) = (each for each in module.modules() if isinstance(each, nn.Embedding) and each.num_embeddings == 20)
    with torch.no_grad():
        embedding.weight.mul_(10)  # far enough from nothing to matter
    scores, classes = of_texts(module, TOKENS, 20)
    with torch.no_grad():
        logits = module(torch.from_numpy(TOKENS))
        embedding.weight.zero_()
        gained = (logits - module(torch.from_numpy(TOKENS))).numpy()[np.arange(3), classes]
    np.testing.assert_allclose(scores.sum(1), gained, rtol=0.05, atol=0.02)
    assert not scores[TOKENS == 0].any()


def test_one_logit_speaks_for_the_class_that_is_answered():
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        module[1].weight.fill_(1.0)
    images = np.stack([np.ones((1, 2, 2)), -np.ones((1, 2, 2))]).astype(np.float32)
    found, classes = of_images(module, images, np.zeros((1, 2, 2), np.float32))
    assert classes.tolist() == [1, 0]
    np.testing.assert_allclose(found.sum((1, 2, 3)), [4, 4])


@pytest.mark.parametrize("family", TEXTS)
def test_attributions_of_a_value_sum_to_what_it_gained_whatever_its_sign(family):
    module = zoo.build(TEXTS[family].model_copy(update={"output_size": 1}), seed=0).eval()
    (embedding,) = (each for each in module.modules() if isinstance(each, nn.Embedding) and each.num_embeddings == 20)
    head = [each for each in module.modules() if isinstance(each, nn.Linear)][-1]
    with torch.no_grad():
        embedding.weight.mul_(10)
        head.bias.fill_(-100.0)  # every answer is below zero
    scores, classes = of_texts(module, TOKENS, 20, classes=False)
    with torch.no_grad():
        values = module(torch.from_numpy(TOKENS))
        embedding.weight.zero_()
        gained = (values - module(torch.from_numpy(TOKENS))).numpy()[:, 0]
    assert (values < 0).all() and not classes.any()
    np.testing.assert_allclose(scores.sum(1), gained, rtol=0.05, atol=0.02)


def test_one_value_of_images_is_not_turned_round():
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        module[1].weight.fill_(1.0)
    images = np.stack([np.ones((1, 2, 2)), -np.ones((1, 2, 2))]).astype(np.float32)
    found, _ = of_images(module, images, np.zeros((1, 2, 2), np.float32), classes=False)
    np.testing.assert_allclose(found.sum((1, 2, 3)), [4, -4])


class Slow(nn.Module):
    """A second of its own time for each row with all its steps."""

    seconds = 0.0

    def forward(self, rows):
        self.seconds += len(rows) / (STEPS + 1)
        return torch.stack([rows.sum((1, 2, 3)), -rows.sum((1, 2, 3))], 1)


def test_a_slow_network_is_asked_for_as_many_rows_as_fit_into_the_time():
    module, images = Slow(), np.ones((128, 1, 2, 2), np.float32)
    found, classes = of_images(module, images, np.zeros((1, 2, 2), np.float32), clock=lambda: module.seconds)
    assert len(found) == len(classes) and 18 <= len(found) <= 20 and module.seconds <= MOST_SECONDS + 1e-6


def test_a_network_without_gradients_is_refused_and_left_in_its_mode():
    class Opaque(nn.Module):
        def forward(self, rows):
            return torch.zeros(len(rows), 2) + rows.detach().sum()

    module = Opaque().train()
    with pytest.raises(ModelError, match="no gradient comes through the network"):
        of_images(module, np.ones((2, 1, 2, 2), np.float32), np.zeros((1, 2, 2), np.float32))
    assert module.training


def test_a_text_network_without_an_embedding_is_refused():
    with pytest.raises(ModelError, match=r"no nn\.Embedding of 20 words"):
        of_texts(nn.Linear(6, 2), TOKENS, 20)


def test_words_are_gathered_by_the_class_of_their_text():
    found = by_word(np.array([[2, 3, 0], [3, 1, 3]]), np.arange(6.0).reshape(2, 3), np.array([0, 1]), ("yes", "no"))
    assert found == {("yes", 0): [0.0], ("no", 0): [1.0], ("no", 1): [3.0, 5.0]}


def test_a_small_map_is_not_pooled():
    assert pooled(np.eye(2)) == ((1.0, 0.0), (0.0, 1.0))
