"""The training loop, the only one: every launcher and every step that trains ends up here.

What is notable: batches and dropout depend on (seed, epoch) alone, so that a resumed training ends with the bytes of an
undisturbed one; deterministic algorithms only; tensors are indexed directly, without worker processes; the weights that
are kept are those of the epoch with the lowest validation loss, among those that have all the zeros they were to have.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from torch import Tensor, nn

from tasks.compressors.distillation import distillation_loss
from tasks.compressors.gradual import Sparsifier, Sparsity
from tasks.contracts.errors import TrainingError
from tasks.models.randomness import reseed, seeded
from tasks.trainers import checkpoint as checkpoints
from tasks.trainers.batches import Batches, least_rows
from tasks.trainers.checkpoint import Progress
from tasks.trainers.layout import fast_layout
from tasks.trainers.objectives import answers, check_targets, evaluate, objective, tensors
from tasks.trainers.optimizers import learning_rate_at, make_optimizer, optimizer_tensors, restore_optimizer
from tasks.trainers.records import Arrays, Epoch, Fit, LossName, OptimizerName, Schedule, Settings, Stop, ignore
from tasks.trainers.repeatable import deterministic
from tasks.trainers.team import Alone, Team

__all__ = ["Arrays", "Epoch", "Fit", "Settings", "evaluate", "fit", "ignore"]


def fit(
    module: nn.Module,
    train: Arrays,
    validation: Arrays,
    *,
    loss: LossName,
    optimizer: OptimizerName,
    learning_rate: float,
    schedule: Schedule,
    epochs: int,
    batch_size: int,
    l2: float,
    stop_loss: float | None,
    patience: int,
    seed: int,
    checkpoint: Path | None = None,
    report: Callable[[Epoch], None] = ignore,
    teacher: nn.Module | Tensor | None = None,
    sparsity: Sparsity | None = None,
    team: Team | None = None,
) -> Fit:
    """Train a module in place.

    The same arguments, torch and number of threads give the same bytes of weights. One training runs at a time in a
    process; others wait (see `models.randomness`).

    Args:
        module: Answers encoded rows with logits (N, outputs).
        train: Rows to learn from.
        validation: Rows that say which epoch was best; if there are none, the training rows say it.
        loss: cross_entropy over classes, bce over two classes with one logit, mse over numbers.
        optimizer: sgd (momentum 0.9; none in full-batch gradient descent), adam or adamw.
        learning_rate: Size of the first step.
        schedule: cosine falls towards zero over all steps, constant stays.
        epochs: Most passes over the training rows; 0 only measures.
        batch_size: Rows in a step; 0 takes all.
        l2: Weight decay, see `optimizers.make_optimizer`.
        stop_loss: Stop after an epoch with a training loss this low; None never does.
        patience: Stop after so many epochs without a lower validation loss; 0 never does.
        seed: Makes batches and dropout repeatable.
        checkpoint: Folder to resume from and to write to after every epoch; None keeps none.
        report: Called after each epoch, once its checkpoint stands; a resumed training reports the old ones first.
        teacher: Distil from this network, or from its logits for the training rows.
        sparsity: Zero the smallest weights meanwhile, and keep them at zero; None lets every weight live.
        team: The processes that train together; None is this one alone.

    Raises:
        ConfigError: A setting does not fit the data or the network.
        DataError: There are no training rows.
        TrainingError: The loss is NaN or infinite, or a checkpoint cannot be written.
    """
    settings = Settings(
        loss=loss,
        optimizer=optimizer,
        learning_rate=learning_rate,
        schedule=schedule,
        epochs=epochs,
        batch_size=batch_size,
        l2=l2,
        stop_loss=stop_loss,
        patience=patience,
        seed=seed,
    )
    with seeded(seed), deterministic(), fast_layout(module):
        training = _Training(
            module, train, validation, settings=settings, teacher=teacher, sparsity=sparsity, team=team or Alone()
        )
        return training.run(checkpoint, report)


class _Training:
    """One training under way."""

    def __init__(
        self,
        module: nn.Module,
        train: Arrays,
        validation: Arrays,
        *,
        settings: Settings,
        teacher: nn.Module | Tensor | None,
        sparsity: Sparsity | None,
        team: Team,
    ) -> None:
        self.module, self.settings, self.team = module, settings, team
        self.objective = objective(settings["loss"])
        self.rows = tensors(train)
        self.held_out = tensors(validation) if len(validation.targets) else self.rows
        least = least_rows(module, team.size)
        self.batches = Batches(len(self.rows.targets), settings["batch_size"], least=least, seed=settings["seed"])
        outputs = answers(module, self.rows.inputs[:1]).shape[1]
        check_targets(settings["loss"], self.rows.targets, outputs)
        check_targets(settings["loss"], self.held_out.targets, outputs)
        # Once for all epochs: rows are never changed on their way, so the teacher would only repeat itself.
        self.teacher = answers(teacher, self.rows.inputs) if isinstance(teacher, nn.Module) else teacher
        self.sparsity, self.sparsifier = sparsity, Sparsifier(module, sparsity)
        self.steps = settings["epochs"] * self.batches.steps
        self.optimizer = make_optimizer(
            module,
            settings["optimizer"],
            learning_rate=settings["learning_rate"],
            l2=settings["l2"],
            full_batch=settings["batch_size"] == 0,
        )
        self.network = team.join(module)

    def run(self, checkpoint: Path | None, report: Callable[[Epoch], None]) -> Fit:
        """Every epoch that is still to be done; the best weights end up in the module."""
        key = self._key() if checkpoint else ""
        progress = (checkpoints.load(checkpoint, key) if checkpoint else None) or Progress.start(self.module)
        progress = replace(progress, first=self._first_settled())
        self._restore(progress)
        for epoch in progress.epochs:
            report(epoch)
        while not (stop := _stop(progress, self.settings)):
            epoch = self._epoch(len(progress.epochs) + 1)
            progress = progress.advanced(epoch, self.module, optimizer_tensors(self.module, self.optimizer))
            if checkpoint and self.team.rank == 0:
                checkpoints.save(checkpoint, key, progress)
            report(epoch)
        self.module.load_state_dict(dict(progress.best))
        self.module.eval()
        best = progress.best_epoch
        loss, metric = (best.validation_loss, best.metric) if best else self._validate()
        return Fit(self.module, progress.epochs, best.number if best else 0, loss, metric, stop)

    def _restore(self, progress: Progress) -> None:
        self.module.load_state_dict(dict(progress.weights))
        restore_optimizer(self.module, self.optimizer, progress.optimizer)

    def _first_settled(self) -> int:
        """Number of the first epoch at whose end the network has all the zeros it was to have."""
        numbers = range(1, self.settings["epochs"] + 1)
        return next((n for n in numbers if self.sparsifier.settled(n * self.batches.steps, self.steps)), 1)

    def _epoch(self, number: int) -> Epoch:
        started = time.perf_counter()
        reseed(self.settings["seed"], number, self.team.rank)
        rate = self._set_rate(number, 0)
        train_loss = self._pass(number)
        self.team.agree(self.module)
        validation_loss, metric = self._validate()
        if not math.isfinite(validation_loss):
            raise TrainingError(
                f"the validation loss is {validation_loss} after epoch {number}, but must be finite: "
                f"lower train.learning_rate (now {self.settings['learning_rate']:g})"
            )
        ended = time.time_ns() // 1_000_000
        return Epoch(number, train_loss, validation_loss, metric, rate, time.perf_counter() - started, ended)

    def _pass(self, number: int) -> float:
        """One pass over the training rows: their mean loss."""
        self.network.train()
        self.sparsifier.begin()
        total = 0.0
        for step, batch in enumerate(self.batches.of_epoch(number)):
            self._set_rate(number, step)
            mine = batch[self.team.rank :: self.team.size]
            loss = self._loss(mine)
            total += self._finite(loss, number, step) * len(mine)
            self.optimizer.zero_grad()
            # A team averages gradients over its members, whose shares of the batch may differ by one row.
            (loss * (len(mine) * self.team.size / len(batch))).backward()
            self.optimizer.step()
            self.sparsifier.apply(self._done(number, step + 1), self.steps)
        return self.team.total(total)[0] / len(self.rows.targets)

    def _loss(self, rows: Tensor) -> Tensor:
        logits, targets = self.network(self.rows.inputs[rows]), self.rows.targets[rows]
        if self.teacher is None:
            return self.objective.loss(logits, targets)
        return distillation_loss(logits, self.teacher[rows], targets, self.settings["loss"])

    def _finite(self, loss: Tensor, number: int, step: int) -> float:
        value = loss.item()
        if math.isfinite(value):
            return value
        mend = f"lower train.learning_rate (now {self.settings['learning_rate']:g})"
        if number == 1 and step == 0:
            mend = "no step has been taken yet, so look for huge or missing values in the data and the first weights"
        raise TrainingError(f"the loss is {value} in epoch {number}, step {step + 1}, but must be finite: {mend}")

    def _set_rate(self, number: int, step: int) -> float:
        done = self._done(number, step)
        rate = learning_rate_at(done, self.steps, self.settings["learning_rate"], self.settings["schedule"])
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _done(self, number: int, step: int) -> int:
        """Steps that are done of all, once `step` are done in epoch `number`."""
        return (number - 1) * self.batches.steps + step

    def _validate(self) -> tuple[float, float]:
        return evaluate(self.module, self.held_out, self.settings["loss"], self.team)

    def _key(self) -> str:
        data = {
            "train/inputs": self.rows.inputs,
            "train/targets": self.rows.targets,
            "validation/inputs": self.held_out.inputs,
            "validation/targets": self.held_out.targets,
        }
        teacher = {} if self.teacher is None else {"teacher": self.teacher}
        sparsity = asdict(self.sparsity) if self.sparsity else None
        settings = {**self.settings, "sparsity": sparsity}
        return checkpoints.training_key(self.module, data | teacher, settings, self.team.size)


def _stop(progress: Progress, settings: Settings) -> Stop | None:
    """Why there is no further epoch, if there is none."""
    done, best = progress.epochs, progress.best_epoch
    if done and best:
        if settings["stop_loss"] is not None and done[-1].train_loss <= settings["stop_loss"]:
            return "stop_loss"
        if settings["patience"] and len(done) - best.number >= settings["patience"]:
            return "patience"
    return "epochs" if len(done) >= settings["epochs"] else None
