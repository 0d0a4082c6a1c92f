"""Distillation: a student learns from the targets and from what a teacher answers.

`(1 - alpha) * loss(student, targets) + alpha * T^2 * KL(teacher || student at temperature T)`. Gradients of softened
answers shrink by 1/T^2, which the factor undoes.

Source: Hinton, Vinyals, Dean 2015, Distilling the Knowledge in a Neural Network, section 2 (arXiv 1503.02531).
"""

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 (its name in every torch program)
from torch import Tensor

Loss = Literal["mse", "cross_entropy", "bce"]


def distillation_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    loss: Loss,
    *,
    alpha: float = 0.5,
    temperature: float = 2.0,
) -> Tensor:
    """A scalar to minimise.

    Args:
        student_logits: (N, K); (N, 1) for bce and mse.
        teacher_logits: Of the same rows and shape; no gradient flows into them.
        targets: (N,) class indices, or values for mse.
        loss: What the student is trained on.
        alpha: Weight of the teacher against the targets, in [0, 1].
        temperature: Softens both answers; mse has no use for it.
    """
    teacher = teacher_logits.detach()
    return (1 - alpha) * _to_targets(student_logits, targets, loss) + alpha * _to_teacher(
        student_logits, teacher, loss, temperature
    )


def _to_targets(logits: Tensor, targets: Tensor, loss: Loss) -> Tensor:
    if loss == "cross_entropy":
        return F.cross_entropy(logits, targets)
    values = targets.to(logits.dtype).reshape(logits.shape)
    return F.mse_loss(logits, values) if loss == "mse" else F.binary_cross_entropy_with_logits(logits, values)


def _to_teacher(logits: Tensor, teacher: Tensor, loss: Loss, temperature: float) -> Tensor:
    if loss == "mse":
        return F.mse_loss(logits, teacher)
    if loss == "bce":  # two classes whose logits are (0, x): the softmax of those is the sigmoid of x
        logits, teacher = (torch.cat([torch.zeros_like(each), each], dim=1) for each in (logits, teacher))
    student = F.log_softmax(logits / temperature, dim=1)
    wanted = F.log_softmax(teacher / temperature, dim=1)
    return temperature**2 * F.kl_div(student, wanted, reduction="batchmean", log_target=True)
