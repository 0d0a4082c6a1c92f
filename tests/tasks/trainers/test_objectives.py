"""Losses and metrics against scikit-learn and numpy."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, root_mean_squared_error
from torch import nn

from tasks.trainers.loop import Arrays
from tasks.trainers.objectives import BATCH_ROWS, answers, evaluate

torch.set_num_threads(1)
ROWS = 2 * BATCH_ROWS + 77
DRAW = np.random.default_rng(0)
LOGITS = DRAW.normal(size=(ROWS, 3)).astype(np.float32)


def test_cross_entropy_and_accuracy_are_scikit_learns():
    targets = DRAW.integers(0, 3, ROWS)
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    loss, metric = evaluate(nn.Identity(), Arrays(LOGITS, targets), "cross_entropy")
    assert loss == pytest.approx(log_loss(targets, probabilities), rel=1e-5)
    assert metric == accuracy_score(targets, LOGITS.argmax(1))


def test_bce_and_accuracy_are_scikit_learns():
    targets = DRAW.integers(0, 2, ROWS)
    loss, metric = evaluate(nn.Identity(), Arrays(LOGITS[:, :1], targets), "bce")
    assert loss == pytest.approx(log_loss(targets, 1 / (1 + np.exp(-LOGITS[:, 0]))), rel=1e-5)
    assert metric == accuracy_score(targets, LOGITS[:, 0] > 0)


def test_mse_and_rmse_are_scikit_learns_also_for_doubles():
    targets = DRAW.normal(size=ROWS)
    loss, metric = evaluate(nn.Identity(), Arrays(LOGITS[:, :1], targets), "mse")
    assert metric == pytest.approx(root_mean_squared_error(targets, LOGITS[:, 0]), rel=1e-5)
    assert loss == pytest.approx(metric**2, rel=1e-5)


def test_answers_are_those_of_evaluation_and_leave_the_mode():
    module = nn.Dropout(0.5).train()
    assert torch.equal(answers(module, torch.from_numpy(LOGITS)), torch.from_numpy(LOGITS))
    assert module.training
