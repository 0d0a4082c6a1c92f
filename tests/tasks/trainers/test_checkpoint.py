"""Checkpoints: a cut training ends with the bytes of an undisturbed one; nothing is ever half-written."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from tasks.compressors.gradual import Sparsity
from tasks.compressors.magnitude import sparsity
from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import TrainingError
from tasks.models import zoo
from tasks.trainers import checkpoint as checkpoints
from tasks.trainers.loop import Arrays, Epoch, fit

torch.set_num_threads(1)

SETTINGS = {
    "loss": "cross_entropy",
    "optimizer": "adam",
    "learning_rate": 0.01,
    "schedule": "cosine",
    "epochs": 6,
    "batch_size": 16,
    "l2": 0.01,
    "stop_loss": None,
    "patience": 0,
    "seed": 3,
}
FAMILIES = {
    "mlp": {"family": "mlp", "input_shape": (8,), "hidden_sizes": (16,), "dropout": 0.4},
    "cnn": {"family": "cnn", "input_shape": (1, 4, 4), "hidden_sizes": (4, 8), "dropout": 0.2},
    "rnn": {"family": "rnn", "input_shape": (5,), "hidden_sizes": (8,), "dropout": 0.2, "vocabulary_size": 20},
}


class Interrupted(Exception):
    pass


def network(family="mlp"):
    return zoo.build(Architecture(output_size=2, **FAMILIES[family]), seed=1)


def data(family="mlp", rows=70):
    draw = np.random.default_rng(0)
    shape = (rows, *FAMILIES[family]["input_shape"])
    if "vocabulary_size" in FAMILIES[family]:
        inputs = draw.integers(0, 20, shape)
    else:
        inputs = draw.normal(size=shape).astype(np.float32)
    return Arrays(inputs, draw.integers(0, 2, rows))


def state_of(module):
    return b"".join(value.numpy().tobytes() for _, value in sorted(module.state_dict().items()))


def interrupting(at):
    def report(epoch):
        if epoch.number == at:
            raise Interrupted

    return report


def without_time(epochs):
    return [replace(epoch, seconds=0.0, ended_ms=0) for epoch in epochs]


@pytest.mark.parametrize(
    ("family", "optimizer"), [("mlp", "adam"), ("mlp", "sgd"), ("cnn", "adamw"), ("cnn", "sgd"), ("rnn", "adam")]
)
def test_a_training_cut_at_any_epoch_ends_with_the_bytes_of_an_undisturbed_one(family, optimizer, tmp_path):
    settings = {**SETTINGS, "optimizer": optimizer}
    rows = data(family)
    whole = fit(network(family), rows, rows, **settings)
    for cut in (1, 3, 6):
        folder = tmp_path / str(cut)
        with pytest.raises(Interrupted):
            fit(network(family), rows, rows, checkpoint=folder, report=interrupting(cut), **settings)
        seen: list[Epoch] = []
        resumed = fit(network(family), rows, rows, checkpoint=folder, report=seen.append, **settings)
        assert state_of(resumed.module) == state_of(whole.module)
        assert without_time(resumed.epochs) == without_time(whole.epochs) == without_time(seen)


def test_full_batch_descent_without_momentum_resumes_too(tmp_path):
    settings, rows = {**SETTINGS, "optimizer": "sgd", "batch_size": 0}, data()
    with pytest.raises(Interrupted):
        fit(network(), rows, rows, checkpoint=tmp_path, report=interrupting(2), **settings)
    resumed = fit(network(), rows, rows, checkpoint=tmp_path, **settings)
    assert state_of(resumed.module) == state_of(fit(network(), rows, rows, **settings).module)


@pytest.mark.parametrize("cut", range(1, 6))
def test_gradual_sparsity_and_a_teacher_resume_too(cut, tmp_path):
    rows = data()
    more = {"sparsity": Sparsity(0.8), "teacher": network()}
    with pytest.raises(Interrupted):
        fit(network(), rows, rows, checkpoint=tmp_path, report=interrupting(cut), **more, **SETTINGS)
    resumed = fit(network(), rows, rows, checkpoint=tmp_path, **more, **SETTINGS)
    whole = fit(network(), rows, rows, **more, **SETTINGS)
    assert state_of(resumed.module) == state_of(whole.module)
    assert resumed.best_epoch == whole.best_epoch
    assert sparsity(resumed.module) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("other", [None, Sparsity(), Sparsity(0.8, updates=7)])
def test_another_sparsity_is_another_training(other, tmp_path):
    rows = data()
    fit(network(), rows, rows, checkpoint=tmp_path, sparsity=Sparsity(0.8), **SETTINGS)
    found = fit(network(), rows, rows, checkpoint=tmp_path, sparsity=other, **SETTINGS)
    assert state_of(found.module) == state_of(fit(network(), rows, rows, sparsity=other, **SETTINGS).module)


def test_patience_counts_across_a_cut(tmp_path):
    rows, other = data(rows=30), Arrays(data(rows=90).inputs[30:], data(rows=90).targets[30:])
    settings = {**SETTINGS, "epochs": 100, "patience": 3, "learning_rate": 0.05}
    whole = fit(network(), rows, other, **settings)
    assert whole.stopped_by == "patience"
    with pytest.raises(Interrupted):
        fit(network(), rows, other, checkpoint=tmp_path, report=interrupting(len(whole.epochs) - 1), **settings)
    resumed = fit(network(), rows, other, checkpoint=tmp_path, **settings)
    assert (len(resumed.epochs), resumed.best_epoch) == (len(whole.epochs), whole.best_epoch)
    assert state_of(resumed.module) == state_of(whole.module)


def test_a_finished_training_is_not_repeated(tmp_path):
    rows = data()
    first = fit(network(), rows, rows, checkpoint=tmp_path, **SETTINGS)
    written = (tmp_path / checkpoints.NAME).stat()
    again = fit(network(), rows, rows, checkpoint=tmp_path, **SETTINGS)
    assert again.epochs == first.epochs
    assert state_of(again.module) == state_of(first.module)
    assert (tmp_path / checkpoints.NAME).stat() == written


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"epochs": 7}, {"learning_rate": 0.02}, {"rows": 69}, {"weights": 2}, {"teacher": True}]
)
def test_the_checkpoint_of_another_training_is_not_taken_up(change, tmp_path):
    fit(network(), data(), data(), checkpoint=tmp_path, **SETTINGS)
    settings = {**SETTINGS, **{key: value for key, value in change.items() if key in SETTINGS}}
    rows = data(rows=change.get("rows", 70))

    def other(**checkpoint):
        module = network()
        if "weights" in change:
            module.head.bias.data[0] = 2.0
        teacher = network() if "teacher" in change else None
        return state_of(fit(module, rows, rows, teacher=teacher, **checkpoint, **settings).module)

    assert other(checkpoint=tmp_path) == other()


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_only_costs_time(damage, tmp_path):
    rows = data()
    whole = fit(network(), rows, rows, checkpoint=tmp_path, **SETTINGS)
    path = tmp_path / checkpoints.NAME
    path.write_bytes(path.read_bytes()[:-9] if damage is None else damage)
    assert state_of(fit(network(), rows, rows, checkpoint=tmp_path, **SETTINGS).module) == state_of(whole.module)


def test_a_checkpoint_is_one_safetensors_file_with_json(tmp_path):
    rows = data()
    fit(network(), rows, rows, checkpoint=tmp_path / "deep" / "folder", **SETTINGS)
    (path,) = (tmp_path / "deep" / "folder").iterdir()
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["ingot"])
        names = list(file.keys())
    assert [epoch["number"] for epoch in header["epochs"]] == [1, 2, 3, 4, 5, 6]
    assert {name.split("/")[0] for name in names} == {"weights", "best", "optimizer"}
    assert "optimizer/head.weight/exp_avg_sq" in names


def test_a_full_disk_stops_the_training_and_keeps_the_last_checkpoint(tmp_path):
    rows = data()
    with pytest.raises(Interrupted):
        fit(network(), rows, rows, checkpoint=tmp_path, report=interrupting(2), **SETTINGS)
    before = (tmp_path / checkpoints.NAME).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(TrainingError) as caught:
            fit(network(), rows, rows, checkpoint=tmp_path, **SETTINGS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value).startswith(f"{tmp_path}/last.safetensors cannot be written (File too large): free ")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [checkpoints.NAME]
    assert (tmp_path / checkpoints.NAME).read_bytes() == before
    resumed = fit(network(), rows, rows, checkpoint=tmp_path, **SETTINGS)
    assert state_of(resumed.module) == state_of(fit(network(), rows, rows, **SETTINGS).module)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"last.safetensors cannot be written \((Not a directory|File exists)\)"):
        fit(network(), data(), data(), checkpoint=tmp_path / "file", **SETTINGS)


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from test_checkpoint import trained
trained(sys.argv[2], report=lambda epoch: print(epoch.number, flush=True))
"""


def trained(folder, **more):
    """A training whose epochs take some tenths of a second."""
    draw = np.random.default_rng(0)
    rows = Arrays(draw.normal(size=(4000, 20)).astype(np.float32), draw.integers(0, 2, 4000))
    network = Architecture(family="mlp", input_shape=(20,), output_size=2, hidden_sizes=(64, 64), dropout=0.3)
    settings = {**SETTINGS, "batch_size": 8, "epochs": 8}
    return fit(zoo.build(network), rows, rows, checkpoint=Path(folder) if folder else None, **more, **settings)


def test_kill_9_costs_at_most_the_epoch_that_was_under_way(tmp_path):
    command = [sys.executable, "-c", PROGRAM, Path(__file__).parent, tmp_path]
    victim = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert [victim.stdout.readline().strip() for _ in range(3)] == ["1", "2", "3"]
    time.sleep(0.05)
    victim.send_signal(signal.SIGKILL)
    victim.wait(20)
    with safe_open(tmp_path / checkpoints.NAME, framework="pt") as file:
        survived = json.loads(file.metadata()["ingot"])["epochs"]
    assert 3 <= len(survived) < 8
    resumed = trained(tmp_path)
    whole = trained(None)
    assert without_time(resumed.epochs) == without_time(whole.epochs)
    for when in ("seconds", "ended_ms"):
        assert [getattr(epoch, when) for epoch in resumed.epochs[: len(survived)]] == [each[when] for each in survived]
    assert state_of(resumed.module) == state_of(whole.module)
