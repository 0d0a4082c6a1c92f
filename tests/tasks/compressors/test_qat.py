import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from tasks.compressors import magnitude
from tasks.compressors.qat import quantization_aware
from tasks.compressors.quantizer import quantize
from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import ModelError
from tasks.exporters.onnx_graph import export_network
from tasks.models import zoo
from tasks.runtime.session import load


def steps(rows: torch.Tensor, classes: torch.Tensor, count: int = 30, rate: float = 0.003):
    """A training in a few lines, with a pause to measure."""

    def fit(module: nn.Module) -> None:
        optimizer = torch.optim.Adam(module.parameters(), rate)
        for step in range(count):
            module.train()
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(rows), classes).backward()
            optimizer.step()
            if step == count // 2:
                with torch.no_grad():
                    module.eval()(rows[:1])
        module.eval()

    return fit


def network_of(family: str, shape: tuple[int, ...], sizes: tuple[int, ...], vocabulary: int = 0) -> nn.Module:
    return zoo.build(
        Architecture(
            family=family,
            input_shape=shape,
            output_size=4,
            hidden_sizes=sizes,
            dropout=0.2,
            vocabulary_size=vocabulary,
        )
    )


def drawn(shape: tuple[int, ...], vocabulary: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    if vocabulary:
        return torch.randint(1, vocabulary, (40, *shape), generator=generator)
    return torch.randn(40, *shape, generator=generator)


FAMILIES = [
    ("mlp", (20,), (32, 16), 0),
    ("cnn", (1, 8, 8), (8, 16), 0),
    ("resnet", (1, 8, 8), (8,), 0),
    ("transformer", (12,), (32,), 50),
    ("cnn", (12,), (16, 8), 50),
    ("rnn", (12,), (16,), 50),
]


@pytest.mark.parametrize(("family", "shape", "sizes", "vocabulary"), FAMILIES)
def test_every_family_learns_under_int8_and_runs_at_any_batch(family, shape, sizes, vocabulary):
    rows, module = drawn(shape, vocabulary), network_of(family, shape, sizes, vocabulary)
    classes = torch.arange(40) % 4
    before = {name: value.clone() for name, value in module.state_dict().items()}
    learned = quantization_aware(module, rows[:2], steps(rows, classes))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    with torch.no_grad():
        assert nn.functional.cross_entropy(learned(rows), classes) < nn.functional.cross_entropy(module(rows), classes)
    network = export_network(learned, rows[:2], 20)
    session = load(quantize(network, "static", rows.numpy()).SerializeToString())
    for size in (1, 7, 40):
        assert session.run({"encoded": rows[:size].numpy()})["logits"].shape == (size, 4)


def test_weights_learn_to_bear_a_rounding_that_would_ruin_them():
    """One input is a thousand times larger: a first layer in int8 sees nothing else, unless it is trained to."""
    random = np.random.default_rng(0)
    classes = random.integers(0, 3, size=600)
    rows = (random.normal(size=(3, 8))[classes] + 0.3 * random.normal(size=(600, 8))).astype(np.float32)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
    with torch.no_grad():
        module[0].weight[:, 0] *= 40  # a row of weights with one scale: the other seven are rounded away
    inputs, targets = torch.from_numpy(rows), torch.from_numpy(classes)
    steps(inputs, targets, 60)(module)

    def accuracy(trained: nn.Module) -> float:
        network = quantize(export_network(trained.eval(), rows[:2], 20), "static", rows, reduce_range=True)
        logits = load(network.SerializeToString()).run({"encoded": rows})["logits"]
        return float((logits.argmax(1) == classes).mean())

    learned = quantization_aware(module, inputs[:2], steps(inputs, targets, 60, 0.01), reduce_range=True)
    assert accuracy(learned) >= max(accuracy(module), 0.97)


def test_masks_fit_the_network_that_is_trained_and_zeros_stay_zero():
    rows, module = drawn((20,)), network_of("mlp", (20,), (32, 16))
    masks = magnitude.prune_weights(module, 0.8)

    def fit(rounding: nn.Module) -> None:
        for _ in range(3):
            steps(rows, torch.arange(40) % 4, 1, 0.1)(rounding)
            magnitude.apply(rounding, masks)

    learned = quantization_aware(module, rows[:2], fit)
    assert magnitude.sparsity(learned) == pytest.approx(0.8, abs=0.01)
    assert not torch.equal(learned.head.weight, module.head.weight)


def test_rows_that_are_only_measured_move_no_range():
    module, answers = network_of("mlp", (20,), (8,)), []

    def fit(rounding: nn.Module) -> None:
        rows = drawn((20,))
        with torch.no_grad():
            rounding.train()(rows)
            answers.append(rounding.eval()(rows))
            rounding(100 * rows)
            answers.append(rounding(rows))

    quantization_aware(module, drawn((20,)), fit)
    torch.testing.assert_close(answers[0], answers[1], rtol=0, atol=0)


def test_batch_norms_follow_the_batches_while_they_are_trained_alone():
    module = network_of("cnn", (1, 8, 8), (8,))
    rows = drawn((1, 8, 8))
    before = module.stages[0][1].running_mean.clone()

    def measure(rounding: nn.Module) -> None:
        with torch.no_grad():
            rounding.eval()(rows)

    measured = quantization_aware(module, rows[:2], measure)
    assert torch.equal(measured.stages[0][1].running_mean, before)
    trained = quantization_aware(module, rows[:2], steps(rows, torch.arange(40) % 4, 3))
    assert not torch.equal(trained.stages[0][1].running_mean, before)


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, rows):
        return self.layer(rows) if rows.sum() > 0 else self.layer(-rows)


class Pinned(Branching):
    def forward(self, rows):
        return self.layer(rows.view(5, 4))


@pytest.mark.parametrize("module", [Branching(), Pinned()])
def test_a_network_that_cannot_be_traced_is_refused_with_the_mend(module):
    with pytest.raises(
        ModelError, match=r"cannot be traced .*look for a branch on values .*take 'qat' out of quantize\.schemes"
    ) as caught:
        quantization_aware(module, torch.ones(2, 4), lambda _: None)
    assert "\n" not in str(caught.value)


def test_a_network_without_a_product_is_refused():
    class Sum(nn.Module):
        def forward(self, rows):
            return rows.cumsum(1)

    with pytest.raises(ModelError, match="the network has no layer that could be trained in int8: take 'qat' out"):
        quantization_aware(Sum(), torch.ones(2, 4), lambda _: None)


def test_importing_it_says_nothing():
    done = subprocess.run([sys.executable, "-c", "import tasks.compressors.qat"], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
