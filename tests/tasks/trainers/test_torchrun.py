"""The launcher in several processes: the same descent, repeatable, resumable, and one clear error."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from safetensors import safe_open

from tasks.compressors.gradual import Sparsity
from tasks.compressors.magnitude import sparsity
from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import ConfigError, TrainingError
from tasks.models import zoo
from tasks.trainers import local, torchrun
from tasks.trainers.loop import Arrays

torch.set_num_threads(1)

SETTINGS = {
    "loss": "cross_entropy",
    "optimizer": "adam",
    "learning_rate": 0.01,
    "schedule": "cosine",
    "epochs": 6,
    "batch_size": 32,
    "l2": 0.01,
    "stop_loss": None,
    "patience": 0,
    "seed": 0,
}
NETWORK = Architecture(family="mlp", input_shape=(6,), output_size=2, hidden_sizes=(16,))
SPARSITY = Sparsity(0.75)


def data(rows=2003):
    inputs = np.random.default_rng(0).normal(size=(rows, 6)).astype(np.float32)
    return Arrays(inputs, (inputs[:, 0] * inputs[:, 1] > 0).astype(np.int64))


def train(**more):
    settings = {"teacher": zoo.build(NETWORK, seed=7), "sparsity": SPARSITY, **SETTINGS, **more}
    return torchrun.fit(zoo.build(NETWORK), data(), data(), architecture=NETWORK, workers=2, **settings)


@pytest.fixture(scope="module")
def team():
    """A fit by two workers, and the epochs that were reported."""
    seen = []
    return train(report=seen.append), seen


def test_two_workers_descend_as_one(team):
    fit, seen = team
    teacher = zoo.build(NETWORK, seed=7)
    alone = local.fit(zoo.build(NETWORK), data(), data(), threads=1, teacher=teacher, sparsity=SPARSITY, **SETTINGS)
    assert tuple(seen) == fit.epochs
    for ours, theirs in zip(fit.epochs, alone.epochs, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, abs=1e-5)
        assert ours.validation_loss == pytest.approx(theirs.validation_loss, abs=1e-5)
        assert ours.metric == pytest.approx(theirs.metric, abs=0.01)
    assert (fit.best_epoch, fit.stopped_by) == (alone.best_epoch, alone.stopped_by)
    for name, value in alone.module.state_dict().items():
        torch.testing.assert_close(fit.module.state_dict()[name], value, atol=1e-4, rtol=1e-3)
    assert not fit.module.training
    assert sparsity(fit.module) == sparsity(alone.module) == 0.75


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_torchrun import train
train(checkpoint=Path(sys.argv[2]), report=lambda epoch: print(epoch.number, flush=True))
"""


def test_workers_do_not_outlive_a_killed_launcher_and_the_next_goes_on_to_the_same_bytes(team, tmp_path):
    command = [sys.executable, "-c", PROGRAM, Path(__file__).parent, tmp_path]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # where the killed launcher leaves its folder
    launcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert launcher.stdout.readline() == "1\n"
    workers = psutil.Process(launcher.pid).children(recursive=True)
    launcher.kill()
    launcher.wait(10)
    deadline = time.monotonic() + 20
    while any(worker.is_running() and worker.status() != "zombie" for worker in workers):
        assert time.monotonic() < deadline, "workers still train"
        time.sleep(0.1)
    with safe_open(tmp_path / "last.safetensors", framework="pt") as file:
        assert len(json.loads(file.metadata()["ingot"])["epochs"]) < 6
    resumed = train(checkpoint=tmp_path)
    assert [epoch.number for epoch in resumed.epochs] == [1, 2, 3, 4, 5, 6]
    for name, value in team[0].module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[name], value), name


def test_a_failing_worker_is_one_clear_error():
    rows = data()
    rows.inputs[5, 1] = np.nan
    with pytest.raises(TrainingError) as caught:
        torchrun.fit(zoo.build(NETWORK), rows, data(), architecture=NETWORK, workers=2, **SETTINGS)
    assert str(caught.value).startswith("the loss is nan in epoch 1, step ")
    assert "\n" not in str(caught.value)
    assert not [child for child in psutil.Process().children() if "torch.distributed.run" in " ".join(child.cmdline())]


LOG = """
Root Cause (first observed failure):
[0]:
  rank      : 1 (local_rank: 1)
  exitcode  : {code} (pid: 4711)
"""


@pytest.mark.parametrize(
    ("said", "code", "message"),
    [
        (
            [("", "RuntimeError: Connection closed by peer", 1.0), ("TrainingError", "the loss is nan", 2.0)],
            1,
            "the loss is nan",
        ),
        (
            [("", "RuntimeError: Connection closed by peer", 1.0)],
            -9,
            "one of 2 training workers was killed by signal 9: look for too little memory, "
            "or set train.engine to local",
        ),
        (
            [("", "RuntimeError: Connection closed by peer", 2.0), ("", "KeyError: 'mine'", 1.0)],
            1,
            "one of 2 training workers raised KeyError: 'mine': mend the model",
        ),
        (
            [],
            1,
            "one of 2 training workers could not be started: look for too little memory, or set train.engine to local",
        ),
    ],
)
def test_the_worker_that_began_it_is_named(said, code, message, tmp_path):
    (tmp_path / "log").write_text(LOG.format(code=code))
    for rank, (kind, words, when) in enumerate(said):
        (tmp_path / f"failure-{rank}.json").write_text(json.dumps({"kind": kind, "message": words, "time": when}))
    error = torchrun.failure(tmp_path, workers=2)
    assert (type(error), str(error)) == (TrainingError, message)


def test_refuses_more_workers_than_rows_in_a_batch():
    settings = {**SETTINGS, "batch_size": 2}
    with pytest.raises(ConfigError, match=r"^train.workers is 3, but must be at most train.batch_size, 2: lower it$"):
        torchrun.fit(zoo.build(NETWORK), data(), data(), architecture=NETWORK, workers=3, **settings)
