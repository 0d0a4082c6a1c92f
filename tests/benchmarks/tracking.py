"""What tracking costs a training loop: epochs of an MLP on MNIST, tracked or not, while MLflow answers or hangs.

The loop's own thread is timed around each report, and the whole loop in turns. Needs a running stack (`ingot up`) and
MNIST in `../shared/data`.
"""

import gzip
import json
import os
import socket
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from deployments.local.connection import connect
from deployments.local.settings import read_settings
from tasks.stores import tracking

EPOCHS, ROUNDS, BATCH = 12, 3, 128
MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist"
RESULTS = Path(__file__).parent / "results" / "tracking.json"
PROMISE = 0.01


@dataclass(frozen=True)
class Cost:
    """Seconds of a loop, and of those the ones spent in reports."""

    loop: float
    reports: float

    @property
    def share(self) -> float:
        """Of an epoch."""
        return self.reports / (self.loop - self.reports)


def main() -> None:
    """Time the loop in turns, print and write the shares."""
    if not MNIST.is_dir():
        sys.stdout.write(f"{MNIST} is not there, but holds MNIST: nothing was measured\n")
        return
    torch.set_num_threads(1)
    rows, labels = mnist()
    connect(read_settings(), print)
    answering = os.environ["MLFLOW_TRACKING_URI"]
    run_id = tracking.open_run("benchmark-tracking", "tracking", {}, {})
    hanging = socket.create_server(("127.0.0.1", 0), backlog=64)  # connects, and never answers
    addresses = {"answers": answering, "hangs": f"http://127.0.0.1:{hanging.getsockname()[1]}"}
    costs: dict[str, list[Cost]] = {name: [] for name in ("untracked", *addresses)}
    for _ in range(ROUNDS):
        costs["untracked"].append(trained(rows, labels, ""))
        for name, address in addresses.items():
            os.environ["MLFLOW_TRACKING_URI"] = address
            costs[name].append(trained(rows, labels, run_id))
    os.environ["MLFLOW_TRACKING_URI"] = answering
    tracking.close_run(run_id)
    report(costs)


def trained(rows: torch.Tensor, labels: torch.Tensor, run_id: str) -> Cost:
    """A loop of some epochs, every one reported."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    log, spent = tracking.EpochLog(run_id, prefix="train"), 0.0
    start = time.perf_counter()
    for epoch in range(1, EPOCHS + 1):
        for batch in torch.randperm(len(rows)).split(BATCH):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(rows[batch]), labels[batch])
            loss.backward()
            optimizer.step()
        before = time.perf_counter()
        values = dict.fromkeys(("loss", "validation_loss", "validation_metric", "learning_rate", "seconds"), 0.5)
        log.report(epoch, values)
        spent += time.perf_counter() - before
    return Cost(time.perf_counter() - start, spent)


def mnist() -> tuple[torch.Tensor, torch.Tensor]:
    """The training rows."""
    images = np.frombuffer(gzip.decompress((MNIST / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((MNIST / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    pixels = images.reshape(-1, 784).astype(np.float32) / 255
    return torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64))


def report(costs: dict[str, list[Cost]]) -> None:
    """Print and write the shares."""
    loops = {name: statistics.median(cost.loop for cost in all_costs) for name, all_costs in costs.items()}
    tracked = [name for name in costs if name != "untracked"]
    figures = {
        "epochs": EPOCHS,
        "rounds": ROUNDS,
        **{f"{name}_epoch_seconds": round(seconds / EPOCHS, 4) for name, seconds in loops.items()},
        **{f"share_of_an_epoch_{name}": round(max(c.share for c in costs[name]), 6) for name in tracked},
        **{f"loop_{name}_over_untracked": round(loops[name] / loops["untracked"], 4) for name in tracked},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
    for name, value in figures.items():
        sys.stdout.write(f"{name:<36} {value}\n")
    sys.stdout.write(f"promise: share_of_an_epoch < {PROMISE}\n")


if __name__ == "__main__":
    main()
