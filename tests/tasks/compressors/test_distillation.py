import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.compressors.distillation import distillation_loss


def softmax(values, temperature):
    powers = np.exp((values - values.max(1, keepdims=True)) / temperature)
    return powers / powers.sum(1, keepdims=True)


def random_case(seed, classes=4):
    random = np.random.default_rng(seed)
    return (
        random.normal(size=(6, classes)) * 3,
        random.normal(size=(6, classes)) * 3,
        random.integers(0, classes, size=6),
    )


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0.5, 10))
def test_classes_follow_hintons_formula(seed, alpha, temperature):
    student, teacher, targets = random_case(seed)
    hard = -np.log(softmax(student, 1)[np.arange(6), targets]).mean()
    p, q = softmax(teacher, temperature), softmax(student, temperature)
    soft = (p * (np.log(p) - np.log(q))).sum(1).mean()
    found = distillation_loss(
        *map(torch.tensor, (student, teacher, targets)), "cross_entropy", alpha=alpha, temperature=temperature
    )
    assert float(found) == pytest.approx((1 - alpha) * hard + alpha * temperature**2 * soft, rel=1e-6, abs=1e-9)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_two_classes_in_one_logit_follow_the_same_formula(seed, alpha):
    student, teacher, targets = random_case(seed, 2)
    student, teacher = student[:, :1], teacher[:, :1]
    p1 = 1 / (1 + np.exp(-student[:, 0]))
    hard = -np.where(targets == 1, np.log(p1), np.log(1 - p1)).mean()
    p, q = 1 / (1 + np.exp(-teacher[:, 0] / 2)), 1 / (1 + np.exp(-student[:, 0] / 2))
    soft = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    found = distillation_loss(*map(torch.tensor, (student, teacher, targets)), "bce", alpha=alpha)
    assert float(found) == pytest.approx((1 - alpha) * hard + alpha * 4 * soft, rel=1e-6, abs=1e-9)


def test_values_are_drawn_to_targets_and_teacher_alike():
    student, teacher = np.array([[1.0], [2.0]]), np.array([[3.0], [2.0]])
    targets = np.array([0.0, 5.0])
    found = distillation_loss(*map(torch.tensor, (student, teacher, targets)), "mse", alpha=0.25)
    assert float(found) == pytest.approx(0.75 * (1 + 9) / 2 + 0.25 * (4 + 0) / 2)


@pytest.mark.parametrize("loss", ["cross_entropy", "bce", "mse"])
def test_a_student_like_its_teacher_has_nothing_to_learn_from_it(loss):
    logits = torch.randn(5, 3 if loss == "cross_entropy" else 1, generator=torch.Generator().manual_seed(0))
    found = distillation_loss(logits, logits.clone(), torch.tensor([0, 1, 0, 1, 1]), loss, alpha=1.0)
    assert float(found) == pytest.approx(0, abs=1e-6)


def test_no_gradient_flows_into_the_teacher():
    student = torch.zeros(2, 3, requires_grad=True)
    teacher = torch.ones(2, 3, requires_grad=True)
    distillation_loss(student, teacher, torch.tensor([0, 1]), "cross_entropy").backward()
    assert student.grad is not None
    assert teacher.grad is None
