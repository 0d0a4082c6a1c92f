"""What compression reaches, beside what others make of the same networks, on data that nobody here wrote.

For each recipe `tests/recipes/compression_*.yaml`, in one run: train the dense network, search (both timed), let the
rivals of `rivals/` quantize the dense graph by their defaults, each in an environment of its own, bake the same
preprocessing into theirs, and measure all on the test split and on ONNX Runtime with one thread, in turns with torch
eager. Prints the table and every bar beside what was reached; `compression.py mlp trec` runs only these.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in every run of Ingot: one thread a training

import numpy as np
import onnx
import torch
import yaml
from rich.console import Console
from rich.table import Table

from flows.search import search
from flows.trial import in_process
from tasks.compressors.plans import plans_of
from tasks.contracts.artifacts import Network, Run
from tasks.contracts.config import RetrainConfig
from tasks.contracts.dataset import Dataset
from tasks.export import export
from tasks.exporters.onnx_graph import assemble
from tasks.ingest import ingest
from tasks.runtime import scoring
from tasks.runtime.cpu import conditions
from tasks.runtime.latency import Runs, interleaved
from tasks.runtime.session import load
from tasks.runtime.slices import run_in_slices
from tasks.runtime.transport import compressed_size
from tasks.stores.datasets import OpenDataset, opened
from tasks.stores.networks import get_network
from tasks.stores.s3 import Store
from tasks.train import train

sys.path.insert(0, str(Path(__file__).parent))
from rivals import RIVALS

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results" / "compression.json"
DENSE = "dense/none"
EAGER = "torch eager"
NOISE = 1.05
"""Latencies that are closer count as equal."""


@dataclass(frozen=True)
class Bar:
    """One point of the front must reach all of these ratios, and lose no more than so much."""

    max_drop: float
    """Percentage points of test accuracy."""
    ratios: dict[str, float]
    stretch: bool = False


@dataclass(frozen=True)
class Promise:
    """What is asked of one recipe."""

    dense: float
    """Least test accuracy of the dense network."""
    bars: tuple[Bar, ...]
    search: float | None = None
    """Most that the search may cost, in times of training the dense network."""


@dataclass(frozen=True)
class Point:
    """One ONNX file, measured."""

    name: str
    accuracy: float
    drop: float
    bytes: int
    transit: int
    p50_b1: float
    p50_b32: float
    ratios: dict[str, float] = field(default_factory=dict)
    """Of dense fp32 (or torch eager) to this point; more is better."""


PROMISES = {
    "mlp": Promise(
        98.6,
        (
            Bar(0.3, {"transit": 35}),
            Bar(0.3, {"transit": 45}, stretch=True),
            Bar(0.3, {"bytes": 10, "eager at 1": 4, "fp32 at 32": 3.5}),
        ),
        search=2.5,
    ),
    "cnn": Promise(99.2, (Bar(0.3, {"bytes": 14, "fp32 at 1": 5}), Bar(0.3, {"bytes": 40}, stretch=True))),
    "trec": Promise(0, (Bar(0.3, {"bytes": 3.5, "fp32 at 1": 1}), Bar(1.0, {"bytes": 8}, stretch=True))),
}


class Eager:
    """The dense network in torch, called as `Session.run` is; encoding is not even counted."""

    def __init__(self, module: torch.nn.Module, rows: np.ndarray) -> None:
        self.module, self.rows = module.eval(), torch.from_numpy(rows)

    def run(self, _: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Logits of the rows it was made for."""
        with torch.inference_mode():
            return {"logits": self.module(self.rows).numpy()}


def main(names: Sequence[str]) -> None:
    """Run what is asked for, print and write the figures."""
    if not (ROOT.parent / "shared/data").exists():
        sys.exit("the folder ../shared/data with the real data is absent: nothing to measure")
    torch.set_num_threads(1)
    figures = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in names or PROMISES:
        figures[name] = compared(name)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(figures, indent=1) + "\n")


def compared(name: str) -> dict[str, Any]:
    """One recipe: its points and its bars, printed as well."""
    console, promise = Console(width=172), PROMISES[name]
    config = RetrainConfig.model_validate(yaml.safe_load((ROOT / f"tests/recipes/compression_{name}.yaml").read_text()))
    with tempfile.TemporaryDirectory() as place:
        run = Run(model_name=name, seed=config.seed, config_digest="", code_digest="", mlflow_run_id="",
                  bucket=f"file://{place}/store")  # fmt: skip
        call = in_process(lambda step: console.print(f"  {step}", style="dim", highlight=False))
        dataset = call(ingest, config.ingest, run).result()
        started = time.perf_counter()
        dense = call(train, dataset, config.train, run)
        trained = time.perf_counter()
        found = search(dense, dataset, config, run, call)
        searched = time.perf_counter()
        store = Store.from_environment(run.bucket)
        graphs = {each.name: store.get_bytes(each.file) for each in found.findings.candidates}
        graph = store.get_bytes(call(export, dense, dataset, config.export, run).result().file)
        with opened(store, dataset) as data:
            others = dict(rival_graphs(graph, data, dense.result(), run.seed, Path(place)))
            points, answers, target, labels = measured({**graphs, **others}, store, dense.result(), dataset, data)
    seconds = {"training": trained - started, "search": searched - trained}
    cost = seconds["search"] / seconds["training"]
    asked = (1 + len(plans_of(config.prune))) * len(config.quantize.schemes)
    verdicts = [f"dense {points[DENSE].accuracy:.2f} % (asked {promise.dense})"]
    verdicts += [verdict(bar, [points[each] for each in graphs]) for bar in promise.bars]
    verdicts.append(
        f"search of {asked} candidates ({len(graphs)} came through): {cost:.2f} times the dense training"
        + (f" (asked {promise.search})" if promise.search else "")
    )
    verdicts += beaten(points, answers, target, labels, mine=list(graphs), others=list(others))
    show(console, name, points, set(graphs), verdicts)
    return {
        "points": {each: asdict(point) for each, point in points.items()},
        "dropped": [each.model_dump(mode="json") for each in found.findings.dropped],
        "seconds": {what: round(taken, 1) for what, taken in seconds.items()},
        "conditions": conditions(1, 1).model_dump(mode="json"),
        "verdicts": verdicts,
    }


def rival_graphs(
    graph: bytes, data: OpenDataset, dense: Network, seed: int, place: Path
) -> Iterator[tuple[str, bytes]]:
    """Whole graphs, raw rows in and answers out, around what each rival made of the dense network."""
    network, rows = place / "network.onnx", place / "rows.npy"
    network.write_bytes(graph)
    np.save(rows, data.sample("train", 256, seed))
    schema, encoding = data.manifest.schema_, data.manifest.encoding
    for rival in RIVALS:
        for name, path in rival.quantized(network, rows, place / rival.name).items():
            whole = assemble(data.preprocessor, onnx.load(path), schema, encoding, dense.loss)
            yield name, whole.SerializeToString(deterministic=True)


def measured(
    graphs: Mapping[str, bytes], store: Store, dense: Network, dataset: Dataset, data: OpenDataset
) -> tuple[dict[str, Point], dict[str, scoring.Outputs], np.ndarray, Sequence[Any]]:
    """Every file on the test split, and its latency at one row and at 32."""
    test, labels = data.rows("test"), data.manifest.schema_.labels
    encoded, _ = data.arrays("test")
    sessions = {name: load(graph, 1) for name, graph in graphs.items()}
    answers = {name: run_in_slices(session, test.inputs) for name, session in sessions.items()}
    module, p50 = get_network(store, dense), {}
    for rows in (1, 32):
        contenders: dict[str, Runs] = {**sessions, EAGER: Eager(module, encoded[:rows])}
        batch = {name: array[:rows] for name, array in test.inputs.items()}
        p50[rows] = {name: time.p50_ms for name, time in interleaved(contenders, batch, seconds=1).items()}
    points = {}
    for name, graph in graphs.items():
        size, transit = len(graph), compressed_size(graph)
        dense_size = len(graphs[DENSE])
        points[name] = Point(
            name=name,
            accuracy=100 * scoring.score(answers[name], test.target, labels).value,
            drop=scoring.drop(answers[name], answers[DENSE], test.target, labels)[0],
            bytes=size,
            transit=transit,
            p50_b1=p50[1][name],
            p50_b32=p50[32][name],
            ratios={
                "bytes": dense_size / size,
                "transit": dense_size / transit,
                "eager at 1": p50[1][EAGER] / p50[1][name],
                "fp32 at 1": p50[1][DENSE] / p50[1][name],
                "fp32 at 32": p50[32][DENSE] / p50[32][name],
            },
        )
    return points, answers, test.target, labels


def verdict(bar: Bar, points: Sequence[Point]) -> str:
    """The point that comes closest to a bar, or passes it by most."""
    asked = ", ".join(f"{what} {ratio:g}x" for what, ratio in bar.ratios.items())
    inside = [point for point in points if point.drop <= bar.max_drop + 1e-9]
    best = max(inside, key=lambda point: min(point.ratios[what] / ratio for what, ratio in bar.ratios.items()))
    reached = all(best.ratios[what] >= ratio for what, ratio in bar.ratios.items())
    got = ", ".join(f"{what} {best.ratios[what]:.2f}x" for what in bar.ratios)
    kind = "stretch" if bar.stretch else "bar"
    return (
        f"{kind} {asked} at <= {bar.max_drop:g} points: {'reached' if reached else 'MISSED'} by {best.name}: "
        f"{got}, drop {best.drop:.2f}"
    )


def beaten(
    points: Mapping[str, Point],
    answers: Mapping[str, scoring.Outputs],
    target: np.ndarray,
    labels: Sequence[Any],
    *,
    mine: Sequence[str],
    others: Sequence[str],
) -> Iterator[str]:
    """For each rival, one of ours that is no larger, no slower and not surely worse; or that there is none."""
    for other in others:
        theirs = points[other]
        as_good = [
            name
            for name in mine
            if points[name].bytes <= theirs.bytes
            and points[name].p50_b1 <= NOISE * theirs.p50_b1
            and scoring.drop(answers[name], answers[other], target, labels)[1].low <= 0
        ]
        best = min(as_good, key=lambda name: points[name].bytes, default=None)
        yield f"{other}: " + (f"as good or better is {best}" if best else "NOTHING of ours is as good in all three")


def show(console: Console, name: str, points: Mapping[str, Point], mine: set[str], verdicts: Sequence[str]) -> None:
    """Print the table and the verdicts."""
    table = Table(title=f"{name}: test split, one thread")
    table.add_column("file", no_wrap=True)
    ratios = list(points[DENSE].ratios)
    for heading in ("accuracy", "drop", "bytes", "transit", "p50 at 1", "p50 at 32", *[f"{each} x" for each in ratios]):
        table.add_column(heading, justify="right")
    for point in points.values():
        figures = (
            f"{point.accuracy:.2f}", f"{point.drop:.2f}", f"{point.bytes:,}", f"{point.transit:,}",
            f"{point.p50_b1:.4f}", f"{point.p50_b32:.4f}", *[f"{point.ratios[each]:.2f}" for each in ratios],
        )  # fmt: skip
        table.add_row(point.name, *figures, style="" if point.name in mine else "yellow")
    console.print(table)
    for line in verdicts:
        console.print(line, highlight=False)


if __name__ == "__main__":
    main(sys.argv[1:])
