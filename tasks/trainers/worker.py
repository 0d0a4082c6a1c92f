"""One of the processes that `torchrun` starts: reads its job from a folder, trains in the team, leaves the result.

python -m torch.distributed.run --standalone --nproc-per-node=2 --module tasks.trainers.worker FOLDER
"""

import json
import os
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import distributed

from tasks.compressors.gradual import Sparsity
from tasks.contracts.errors import IngotError
from tasks.contracts.record import canonical_json
from tasks.models import atomic, network_file
from tasks.trainers.loop import fit
from tasks.trainers.records import Arrays, Epoch, Fit
from tasks.trainers.team import ProcessGroup


def main(folder: Path) -> None:
    """Train, and leave fit.json and fitted.safetensors, or failure-RANK.json."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _train(folder)
    except Exception as error:  # the edge of this process: the launcher raises it again
        _leave_failure(folder / f"failure-{os.environ['RANK']}.json", error)
        raise


def _leave_failure(path: Path, error: Exception) -> None:
    if isinstance(error, IngotError):
        kind, message = type(error).__name__, str(error)
    else:
        kind, message = "", " ".join(f"{type(error).__name__}: {error}".split())
    atomic.write(path, canonical_json({"kind": kind, "message": message[:500], "time": time.time()}))


def _end_with_parent() -> None:
    """Standard input comes from the launcher and never has content: it ends when the launcher does."""
    os.read(0, 1)  # not sys.stdin: its lock, held at exit, aborts the interpreter
    os._exit(1)


def _train(folder: Path) -> None:
    distributed.init_process_group("gloo")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    team = ProcessGroup()
    job = json.loads((folder / "job.json").read_bytes())
    teacher = torch.from_numpy(_array(folder / "teacher.npy")) if (folder / "teacher.npy").exists() else None
    result = fit(
        network_file.load(folder / "network.safetensors"),
        _arrays(folder, "train"),
        _arrays(folder, "validation"),
        checkpoint=Path(job["checkpoint"]) if job["checkpoint"] else None,
        report=lambda epoch: _report(folder, epoch, team),
        teacher=teacher,
        sparsity=Sparsity(**job["sparsity"]) if job["sparsity"] else None,
        team=team,
        **job["settings"],
    )
    if team.rank == 0:
        _leave(folder, result)
    distributed.destroy_process_group()


def _arrays(folder: Path, split: str) -> Arrays:
    return Arrays(_array(folder / f"{split}-inputs.npy"), _array(folder / f"{split}-targets.npy"))


def _array(path: Path) -> np.ndarray[Any, Any]:
    # Copy on write: read-only memory cannot become a tensor, and nothing is ever written.
    array: np.ndarray[Any, Any] = np.load(path, mmap_mode="c", allow_pickle=False)
    return array


def _report(folder: Path, epoch: Epoch, team: ProcessGroup) -> None:
    if team.rank == 0:
        with (folder / "epochs.jsonl").open("ab") as file:
            file.write(canonical_json(asdict(epoch)) + b"\n")


def _leave(folder: Path, result: Fit) -> None:
    weights = {name: value.detach().contiguous().clone() for name, value in result.module.state_dict().items()}
    atomic.write(folder / "fitted.safetensors", safetensors.torch.save(weights))
    facts = {
        "epochs": [asdict(epoch) for epoch in result.epochs],
        "best_epoch": result.best_epoch,
        "loss": result.loss,
        "metric": result.metric,
        "stopped_by": result.stopped_by,
    }
    atomic.write(folder / "fit.json", canonical_json(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
