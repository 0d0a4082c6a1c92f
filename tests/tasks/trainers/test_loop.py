"""The training loop: against closed forms and other libraries, its stops, its refusals, its bytes."""

import hashlib
import math
import threading
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from tasks.compressors.gradual import Sparsity
from tasks.compressors.magnitude import sparsity
from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import ConfigError, DataError, TrainingError
from tasks.models import zoo
from tasks.trainers.loop import Arrays, fit
from tasks.trainers.objectives import evaluate

torch.set_num_threads(1)

SETTINGS: dict[str, Any] = {
    "loss": "cross_entropy",
    "optimizer": "adam",
    "learning_rate": 0.01,
    "schedule": "constant",
    "epochs": 3,
    "batch_size": 16,
    "l2": 0.0,
    "stop_loss": None,
    "patience": 0,
    "seed": 0,
}
DESCENT = {"optimizer": "sgd", "batch_size": 0, "schedule": "constant"}


def mlp(inputs=6, outputs=2, hidden_sizes=(16,), dropout=0.0, seed=0):
    sizes = {"input_shape": (inputs,), "output_size": outputs, "hidden_sizes": hidden_sizes, "dropout": dropout}
    return zoo.build(Architecture(family="mlp", **sizes), seed=seed)


def classes(rows=100, columns=6, seed=0):
    draw = np.random.default_rng(seed)
    inputs = draw.normal(size=(rows, columns)).astype(np.float32)
    return Arrays(inputs, (inputs[:, 0] + 0.5 * draw.normal(size=rows) > 0).astype(np.int64))


def numbers(rows=80, columns=10, seed=0):
    draw = np.random.default_rng(seed)
    inputs = draw.normal(size=(rows, columns)).astype(np.float32)
    targets = inputs @ draw.normal(size=columns) + 1.5 + 0.1 * draw.normal(size=rows)
    return Arrays(inputs, targets.astype(np.float32))


def digest(module):
    state = module.state_dict()
    return hashlib.sha256(b"".join(state[name].numpy().tobytes() for name in sorted(state))).hexdigest()


class Interrupted(Exception):
    pass


def test_linear_regression_by_gradient_descent_finds_the_least_squares():
    data = numbers()
    module = mlp(10, 1, hidden_sizes=())
    fit(module, data, data, **{**SETTINGS, **DESCENT, "loss": "mse", "learning_rate": 0.2, "epochs": 400})
    design = np.column_stack([data.inputs, np.ones(len(data.targets))])
    expected, *_ = np.linalg.lstsq(design, data.targets, rcond=None)
    np.testing.assert_allclose(module.head.weight.detach().numpy()[0], expected[:-1], atol=1e-4)
    np.testing.assert_allclose(module.head.bias.item(), expected[-1], atol=1e-4)


def test_every_step_of_gradient_descent_is_the_textbooks():
    data = numbers()
    module = mlp(10, 1, hidden_sizes=())
    weights, bias = module.head.weight.detach().numpy()[0].astype(float), module.head.bias.item()
    losses = []
    for _ in range(20):
        errors = data.inputs @ weights + bias - data.targets
        losses.append((errors**2).mean())
        weights = weights - 0.05 * (2 / len(errors)) * data.inputs.T @ errors
        bias -= 0.05 * 2 * errors.mean()
    result = fit(module, data, data, **{**SETTINGS, **DESCENT, "loss": "mse", "learning_rate": 0.05, "epochs": 20})
    np.testing.assert_allclose([epoch.train_loss for epoch in result.epochs], losses, rtol=1e-4)
    np.testing.assert_allclose(module.head.weight.detach().numpy()[0], weights, atol=1e-5)


@pytest.mark.parametrize("l2", [0.01, 0.3])
def test_logistic_regression_is_scikit_learns_with_the_same_l2(l2):
    data = classes(200)
    module = mlp(6, 1, hidden_sizes=())
    settings = {**SETTINGS, **DESCENT, "loss": "bce", "learning_rate": 0.5, "epochs": 1500, "l2": l2}
    fit(module, data, Arrays(data.inputs[:0], data.targets[:0]), **settings)
    # Scikit-learn minimises C * (sum of losses) + |w|^2 / 2, we the mean of losses + l2 * |w|^2 / 2.
    other = LogisticRegression(C=1 / (len(data.targets) * l2), tol=1e-10, max_iter=10_000)
    other.fit(data.inputs, data.targets)
    np.testing.assert_allclose(module.head.weight.detach().numpy()[0], other.coef_[0], atol=2e-3)
    np.testing.assert_allclose(module.head.bias.item(), other.intercept_[0], atol=2e-3)


def test_a_wide_sigmoid_classifier_learns_its_classes():
    data = classes(400, columns=100)
    module = mlp(100, 1, hidden_sizes=(64, 32))
    result = fit(module, data, data, **{**SETTINGS, "loss": "bce", "epochs": 20})
    assert result.metric > 0.99
    assert result.metric == evaluate(module, data, "bce")[1]


def test_a_network_of_ten_outputs_learns_with_adam():
    draw = np.random.default_rng(1)
    targets = draw.integers(0, 10, 500)
    inputs = (np.eye(10)[targets] + 0.2 * draw.normal(size=(500, 10))).astype(np.float32)
    result = fit(mlp(10, 10, (20,)), Arrays(inputs, targets), Arrays(inputs, targets), **{**SETTINGS, "epochs": 25})
    assert result.metric > 0.98


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_one_epoch_is_the_plain_loop_of_torch(optimizer):
    data = classes(64)
    ours, theirs = mlp(seed=4), mlp(seed=4)
    result = fit(ours, data, data, **{**SETTINGS, "optimizer": optimizer, "epochs": 1, "batch_size": 64, "l2": 0.1})
    rule = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, foreach=False),
        "adam": lambda p: torch.optim.Adam(p, lr=0.01, foreach=False),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, foreach=False),
    }[optimizer]
    decayed, plain = [p for p in theirs.parameters() if p.dim() > 1], [p for p in theirs.parameters() if p.dim() == 1]
    steps = rule([{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}])
    loss = nn.functional.cross_entropy(theirs(torch.from_numpy(data.inputs)), torch.from_numpy(data.targets))
    loss.backward()
    steps.step()
    assert result.epochs[0].train_loss == pytest.approx(loss.item(), rel=1e-6)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-5)


def test_the_same_arguments_give_the_same_bytes_and_another_seed_gives_others():
    data = classes()

    def once(seed):
        torch.rand(seed + 1)  # the caller's own draws do not matter
        return digest(fit(mlp(dropout=0.3), data, data, **{**SETTINGS, "seed": seed}).module)

    assert once(0) == once(0) != once(1)


def test_trainings_in_threads_of_one_process_do_not_disturb_each_other():
    data = classes()
    expected = [digest(fit(mlp(dropout=0.5), data, data, **{**SETTINGS, "seed": seed}).module) for seed in range(3)]
    found = [""] * 3

    def train(seed):
        found[seed] = digest(fit(mlp(dropout=0.5), data, data, **{**SETTINGS, "seed": seed}).module)

    threads = [threading.Thread(target=train, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == expected


def test_torch_is_left_as_it_was():
    data = classes()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(mlp(dropout=0.5), data, data, **SETTINGS)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(Interrupted):
        fit(mlp(), data, data, report=_interrupt, **SETTINGS)
    assert not torch.are_deterministic_algorithms_enabled()


def _interrupt(epoch):
    raise Interrupted


def test_tensors_and_arrays_train_alike():
    data = classes()
    tensors = Arrays(torch.from_numpy(data.inputs), torch.from_numpy(data.targets))
    assert digest(fit(mlp(), data, data, **SETTINGS).module) == digest(fit(mlp(), tensors, tensors, **SETTINGS).module)


def test_every_epoch_is_reported_as_it_ends():
    data, seen = classes(), []
    settings = {**SETTINGS, "schedule": "cosine", "epochs": 4}
    result = fit(mlp(), data, data, report=seen.append, **settings)
    assert tuple(seen) == result.epochs
    assert [epoch.number for epoch in seen] == [1, 2, 3, 4]
    expected = [0.01 * (1 + math.cos(math.pi * done / 4)) / 2 for done in range(4)]
    assert [epoch.learning_rate for epoch in seen] == pytest.approx(expected)
    assert all(epoch.seconds > 0 for epoch in seen)
    assert seen[-1].train_loss < seen[0].train_loss
    assert result.stopped_by == "epochs"


def test_stops_when_the_training_loss_is_low_enough():
    data = classes()
    free = fit(mlp(), data, data, **{**SETTINGS, "epochs": 10})
    limit = free.epochs[4].train_loss
    result = fit(mlp(), data, data, **{**SETTINGS, "epochs": 10, "stop_loss": limit})
    assert result.stopped_by == "stop_loss"
    assert result.epochs[-1].train_loss <= limit < result.epochs[-2].train_loss
    assert len(result.epochs) == 5


def test_stops_after_patience_and_keeps_the_best_weights():
    data, other = classes(40), classes(60, seed=9)
    result = fit(mlp(hidden_sizes=(64,)), data, other, **{**SETTINGS, "epochs": 200, "patience": 4})
    losses = [epoch.validation_loss for epoch in result.epochs]
    assert result.stopped_by == "patience"
    assert result.best_epoch == 1 + int(np.argmin(losses))
    assert len(losses) == result.best_epoch + 4
    assert result.loss == min(losses)
    assert evaluate(result.module, other, "cross_entropy") == (result.loss, result.metric)


def test_without_validation_rows_the_training_rows_say_which_epoch_was_best():
    data = classes()
    result = fit(mlp(), data, Arrays(data.inputs[:0], data.targets[:0]), **SETTINGS)
    assert result.loss == evaluate(result.module, data, "cross_entropy")[0]


def test_no_epochs_only_measure():
    data, module = classes(), mlp()
    before = digest(module)
    result = fit(module, data, data, **{**SETTINGS, "epochs": 0})
    assert digest(module) == before
    assert (result.epochs, result.best_epoch) == ((), 0)
    assert (result.loss, result.metric) == evaluate(module, data, "cross_entropy")


def test_the_module_comes_back_in_evaluation_mode():
    data = classes()
    assert not fit(mlp(dropout=0.5), data, data, **SETTINGS).module.training


def test_a_last_row_alone_does_not_upset_batch_norm():
    draw = np.random.default_rng(0)
    data = Arrays(draw.normal(size=(33, 1, 2, 2)).astype(np.float32), draw.integers(0, 2, 33))
    network = Architecture(family="cnn", input_shape=(1, 2, 2), output_size=2, hidden_sizes=(4, 4, 4))
    assert len(fit(zoo.build(network), data, data, **SETTINGS).epochs) == 3


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_zeros_stay_zero_whatever_the_optimizer_remembers(optimizer):
    data, module = classes(), mlp()
    mask = torch.arange(96).reshape(16, 6) % 3 > 0
    with torch.no_grad():
        module.get_parameter("hidden.0.0.weight").mul_(mask)
    settings = {**SETTINGS, "optimizer": optimizer, "l2": 0.01}
    fit(module, data, data, sparsity=Sparsity(), **settings)
    weight = module.get_parameter("hidden.0.0.weight").detach()
    assert torch.equal(weight != 0, mask)
    assert not torch.signbit(weight[~mask]).any()


def test_without_sparsity_a_zero_may_come_alive():
    data, module = classes(), mlp()
    with torch.no_grad():
        module.head.weight.zero_()
    assert fit(module, data, data, **SETTINGS).module.head.weight.all()


@pytest.mark.parametrize(("epochs", "batch_size", "first"), [(6, 16, 3), (1, 16, 1), (1, 0, 1), (9, 0, 4)])
def test_the_weights_that_are_kept_have_all_their_zeros(epochs, batch_size, first):
    data, other = classes(40), classes(60, seed=9)
    settings = {**SETTINGS, "epochs": epochs, "batch_size": batch_size, "learning_rate": 0.05}
    result = fit(mlp(hidden_sizes=(64,)), data, other, sparsity=Sparsity(0.9), **settings)
    assert sparsity(result.module) == pytest.approx(0.9, abs=0.01)
    losses = [epoch.validation_loss for epoch in result.epochs]
    assert result.best_epoch == first + int(np.argmin(losses[first - 1 :]))
    assert evaluate(result.module, other, "cross_entropy") == (result.loss, result.metric)


def test_patience_waits_until_the_network_is_sparse():
    data, other = classes(40), classes(60, seed=9)
    settings = {**SETTINGS, "epochs": 30, "patience": 2, "learning_rate": 0.05}
    result = fit(mlp(hidden_sizes=(64,)), data, other, sparsity=Sparsity(0.9), **settings)
    assert result.stopped_by == "patience"
    assert result.best_epoch >= 15 and len(result.epochs) == result.best_epoch + 2


def test_a_teacher_counts_for_half_of_the_loss_at_temperature_two():
    data, teacher = classes(), mlp(seed=8)
    module = mlp()
    rows = torch.from_numpy(data.inputs)
    student, wanted = (each(rows).detach().numpy().astype(float) for each in (module, teacher))
    result = fit(module, data, data, teacher=teacher, **{**SETTINGS, "batch_size": 0, "epochs": 1})

    def log_shares(logits):
        return logits - np.log(np.exp(logits).sum(1, keepdims=True))

    to_targets = -log_shares(student)[np.arange(100), data.targets].mean()
    p, q = log_shares(wanted / 2), log_shares(student / 2)
    to_teacher = 4 * (np.exp(p) * (p - q)).sum(1).mean()
    assert result.epochs[0].train_loss == pytest.approx(0.5 * to_targets + 0.5 * to_teacher, rel=1e-5)


def test_a_teachers_logits_are_as_good_as_the_teacher_itself():
    data, teacher = classes(), mlp(seed=8, dropout=0.5).train()
    with torch.no_grad():
        logits = mlp(seed=8)(torch.from_numpy(data.inputs))
    by_module = fit(mlp(), data, data, teacher=teacher, **SETTINGS).module
    assert digest(by_module) == digest(fit(mlp(), data, data, teacher=logits, **SETTINGS).module)
    assert teacher.training


def test_a_loss_that_is_not_finite_names_epoch_and_step_and_the_mend():
    data = numbers()
    settings = {**SETTINGS, "loss": "mse", "optimizer": "sgd", "learning_rate": 50.0, "epochs": 50}
    with pytest.raises(TrainingError) as caught:
        fit(mlp(10, 1), data, data, **settings)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(("the loss is nan in epoch ", "the loss is inf in epoch "))
    assert ", step " in message
    assert message.endswith("but must be finite: lower train.learning_rate (now 50)")


def test_a_loss_that_is_not_finite_from_the_start_points_at_the_data():
    data = classes()
    data.inputs[3, 2] = np.nan
    with pytest.raises(TrainingError) as caught:
        fit(mlp(), data, data, **{**SETTINGS, "batch_size": 0})
    assert str(caught.value) == (
        "the loss is nan in epoch 1, step 1, but must be finite: no step has been taken yet, so look for huge or "
        "missing values in the data and the first weights"
    )


def test_a_validation_loss_that_is_not_finite_is_told_apart():
    data, other = classes(), classes(seed=3)
    other.inputs[0, 0] = np.inf
    with pytest.raises(TrainingError, match=r"^the validation loss is nan after epoch 1, but must be finite: lower"):
        fit(mlp(), data, other, **SETTINGS)


def refusal(module, data, **more):
    with pytest.raises((ConfigError, DataError)) as caught:
        fit(module, data, data, **{**SETTINGS, **more})
    return str(caught.value)


def test_refuses_a_batch_larger_than_the_data_by_name():
    assert refusal(mlp(), classes(100), batch_size=101) == (
        "train.batch_size is 101, but must be at most 100, the rows of the training split: lower it, or take 0 for "
        "all of them"
    )


def test_refuses_no_rows():
    assert refusal(mlp(), classes(0)).startswith("the training split has 0 rows, but must have some")


def test_refuses_single_rows_for_batch_norm():
    network = Architecture(family="cnn", input_shape=(1, 4, 4), output_size=2, hidden_sizes=(4,))
    data = Arrays(np.zeros((8, 1, 4, 4), np.float32), np.zeros(8, np.int64))
    assert refusal(zoo.build(network), data, batch_size=1).startswith("train.batch_size is 1, but must be at least 2")


@pytest.mark.parametrize(
    ("module", "data", "loss", "message"),
    [
        (mlp(6, 2), classes(), "mse", "train.loss is mse, but the targets are classes: take cross_entropy"),
        (mlp(10, 1), numbers(), "cross_entropy", "train.loss is cross_entropy, but the targets are numbers: take mse"),
        (mlp(10, 1), numbers(), "bce", "train.loss is bce, but the targets are numbers: take mse"),
        (mlp(6, 2), classes(), "bce", "train.loss is bce, but must have a network of one output, not 2: take another"),
        (
            mlp(6, 1),
            classes(),
            "cross_entropy",
            "train.loss is cross_entropy, but targets run from 0 to 1 and must lie in 0 to 0: number the classes, or "
            "give the network more outputs",
        ),
        (mlp(6, 1), classes(), "hinge", "train.loss 'hinge' does not exist: known: bce, cross_entropy, mse"),
    ],
)
def test_refuses_a_loss_that_does_not_fit(module, data, loss, message):
    assert refusal(module, data, loss=loss) == message
