"""The launcher of the training loop in several processes of this machine, under torchrun.

Everything goes to the workers as files: the network as a network file, arrays as `.npy` that all workers map into
memory, never pickle. Rank 0 writes epochs as JSON lines, which are reported here as they come, and the fitted weights.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import safetensors.torch
from torch import Tensor, nn

from tasks.compressors.gradual import Sparsity
from tasks.contracts import errors
from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import ConfigError, TrainingError
from tasks.contracts.record import canonical_json
from tasks.contracts.secrets import without_secrets
from tasks.models import network_file
from tasks.trainers.objectives import answers, tensors
from tasks.trainers.records import Arrays, Epoch, Fit, Settings, ignore

POLL_SECONDS = 0.05
GRACE_SECONDS = 10
"""Between asking the workers to end and making them."""


def fit(
    module: nn.Module,
    train: Arrays,
    validation: Arrays,
    *,
    architecture: Architecture,
    workers: int,
    pruning_history: list[Any] | None = None,
    threads: int = 1,
    checkpoint: Path | None = None,
    report: Callable[[Epoch], None] = ignore,
    teacher: nn.Module | Tensor | None = None,
    sparsity: Sparsity | None = None,
    **settings: Unpack[Settings],
) -> Fit:
    """Train in `workers` processes of `threads` threads each, which share the rows of every batch.

    The same number of workers gives the same bytes of weights; another number rounds to others, and batch norm and
    dropout see other shares of a batch.

    Args:
        module: Trained in place, as far as the caller can see.
        train: Rows to learn from.
        validation: Rows that say which epoch was best.
        architecture: From which the workers build the module again.
        workers: How many processes.
        pruning_history: What was cut from the module since it was built; None says nothing.
        threads: For each worker.
        checkpoint: As in `loop.fit`, as is all that follows.
        report: Called in this process.
        teacher: Its logits for the training rows are taken here, once.
        sparsity: As in `loop.fit`.
        **settings: As in `loop.fit`.

    Raises:
        ConfigError: There are more workers than rows in a step.
        TrainingError: A worker failed; what it said, in one line.
    """
    if settings["batch_size"] and settings["batch_size"] < workers:
        raise ConfigError(
            f"train.workers is {workers}, but must be at most train.batch_size, {settings['batch_size']}: lower it"
        )
    with tempfile.TemporaryDirectory(prefix="ingot-torchrun-") as name:
        folder = Path(name)
        network_file.save(module, architecture, pruning_history or [], folder / "network.safetensors")
        _write_arrays(folder, train, validation)
        if teacher is not None:
            logits = answers(teacher, tensors(train).inputs) if isinstance(teacher, nn.Module) else teacher
            np.save(folder / "teacher.npy", logits.numpy())
        job = {
            "settings": settings,
            "sparsity": asdict(sparsity) if sparsity else None,
            "checkpoint": str(checkpoint.absolute()) if checkpoint else None,
        }
        (folder / "job.json").write_bytes(canonical_json(job))
        _run(folder, workers, threads, report)
        return _fitted(folder, module)


def _write_arrays(folder: Path, train: Arrays, validation: Arrays) -> None:
    for split, arrays in (("train", train), ("validation", validation)):
        for part, values in zip(("inputs", "targets"), arrays, strict=True):
            np.save(folder / f"{split}-{part}.npy", np.asarray(values), allow_pickle=False)


def _run(folder: Path, workers: int, threads: int, report: Callable[[Epoch], None]) -> None:
    """Start the workers and pass their epochs on until they are done."""
    with _started(folder, workers, threads) as process:
        epochs = _epochs(folder / "epochs.jsonl")
        while process.poll() is None:
            for epoch in next(epochs):
                report(epoch)
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL_SECONDS)
    for epoch in next(epochs):
        report(epoch)
    if process.returncode:
        raise failure(folder, workers)


@contextmanager
def _started(folder: Path, workers: int, threads: int) -> Iterator["subprocess.Popen[bytes]"]:
    """The torchrun process; when the block is left early, it and its workers are ended."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    command += [f"--nproc-per-node={workers}", "--module", "tasks.trainers.worker", str(folder)]
    environment = without_secrets(os.environ) | {
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    with (folder / "log").open("wb") as log:
        # The workers read standard input and end when it closes: so they do not outlive us, whatever ends us.
        process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log)
        try:
            yield process
        finally:
            if process.stdin:
                process.stdin.close()
            process.terminate()
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _epochs(path: Path) -> Iterator[list[Epoch]]:
    """Each time, the epochs that were written since the last; a line still being written waits."""
    place = 0
    while True:
        text = path.read_bytes()[place:] if path.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        place += len(whole)
        yield [Epoch(**json.loads(line)) for line in whole.splitlines()]


def failure(folder: Path, workers: int) -> errors.IngotError:
    """The error of the worker that began it; the others fail because they miss it, and say only that."""
    said = [json.loads(path.read_text()) for path in folder.glob("failure-*.json")]
    said.sort(key=lambda each: (each["kind"] == "", each["time"]))
    if said and said[0]["kind"]:
        return getattr(errors, said[0]["kind"])(said[0]["message"])  # type: ignore[no-any-return]
    log = (folder / "log").read_text(errors="replace") if (folder / "log").exists() else ""
    killed = re.search(r"Root Cause.*?exitcode\s*: -(\d+)", log, re.DOTALL)
    if said and not killed:
        return TrainingError(f"one of {workers} training workers raised {said[0]['message']}: mend the model")
    why = f"was killed by signal {killed[1]}" if killed else "could not be started"
    return TrainingError(
        f"one of {workers} training workers {why}: look for too little memory, or set train.engine to local"
    )


def _fitted(folder: Path, module: nn.Module) -> Fit:
    result = json.loads((folder / "fit.json").read_text())
    module.load_state_dict(safetensors.torch.load_file(folder / "fitted.safetensors"))
    epochs = tuple(Epoch(**epoch) for epoch in result.pop("epochs"))
    return Fit(module=module.eval(), epochs=epochs, **result)
